// SPDX-License-Identifier: Apache-2.0
//! What the proof found wrong: the closed list of checks, and one finding of one of them.
//!
//! A finding names places, numbers and bucket names, never a key's or a value's content: there are secrets in
//! it. A new check gets a line in `checks!` and a named row in `tests/it/corruption/rows.rs`.

use std::{fmt, io};

use serde::{Serialize, Serializer};

/// So many findings are kept; a badly damaged file has one on every page, and nobody reads the thousandth.
const MAX_FINDINGS: usize = 100;

macro_rules! checks {
    ($($name:ident $label:literal $doc:literal)*) => {
        /// The checks of the proof. Their labels are part of the interface.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Check { $(#[doc = $doc] $name),* }

        impl Check {
            /// Every check, for tables and tests.
            pub const ALL: &[Check] = &[$(Check::$name),*];

            /// The stable word for reports.
            pub fn as_str(self) -> &'static str {
                match self { $(Check::$name => $label),* }
            }
        }
    };
}

checks! {
    Size "size" "The file's size is not that of a snapshot (pages, then 32 bytes)."
    Trailer "trailer" "The SHA-256 at the end does not fit the bytes before it."
    Truncated "truncated" "The bytes end where the structure says there are more."
    MetaHeader "meta-header" "The header of a meta page is not that of this meta page."
    MetaMagic "meta-magic" "A meta page lacks bbolt's magic number."
    MetaVersion "meta-version" "A meta page is of an unknown format version."
    MetaPageSize "meta-page-size" "A meta page names an impossible page size, or another than its twin."
    MetaChecksum "meta-checksum" "A meta page's checksum does not fit."
    MetaTxid "meta-txid" "The transaction ids of the two meta pages do not follow each other."
    Length "length" "The database is longer or shorter than its high-water mark says."
    PageRange "page-range" "A reference leads outside the database or to a meta page."
    PageTwice "page-twice" "A page is referenced twice, or lies inside another."
    PageId "page-id" "A page does not carry its own number."
    PageFlags "page-flags" "A page is not of the type it has to be."
    PageCount "page-count" "A page's element count is impossible."
    PageOverflow "page-overflow" "A page's overflow passes the end, or is not what its content needs."
    ElementFlags "element-flags" "A leaf element has unknown flags, or a plain key stands among the top-level buckets."
    ElementPosition "element-position" "An element's data is not where the data before it ends."
    ElementSize "element-size" "An element's key or value does not fit its page, or its key is empty or too long."
    KeyOrder "key-order" "A key is not greater than the one before."
    KeyBounds "key-bounds" "A key is outside the range which the branch above gives to its page."
    BucketHeader "bucket-header" "A nested bucket's header has the wrong size or root."
    InlineBucket "inline-bucket" "The page inlined in a bucket's value is not a well-formed one."
    LeafDepth "leaf-depth" "A leaf is deeper or less deep in the tree of its bucket than the others."
    Depth "depth" "The tree, or buckets in buckets, are deeper than any real database."
    Freelist "freelist" "The list of free pages is malformed or contradicts the tree."
    EtcdBuckets "etcd-buckets" "A bucket of etcd is missing, or a bucket stands where etcd has values."
    EtcdRevision "etcd-revision" "A key of the bucket `key` is not a revision."
    EtcdValue "etcd-value" "A value of the bucket `key` is not the key-value record of its revision."
    EtcdMeta "etcd-meta" "A value of the bucket `meta` has the wrong form."
    EtcdMember "etcd-member" "A record of the bucket `members` cannot be read."
}

impl Serialize for Check {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

/// One thing found wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which check it failed.
    pub check: Check,
    /// The page, where it is in one.
    pub page: Option<u64>,
    /// The byte offset in the snapshot, where it is known.
    pub offset: Option<u64>,
    /// In words, without the place.
    pub text: String,
}

impl Finding {
    /// A finding without a place.
    pub(super) fn new(check: Check, text: impl Into<String>) -> Finding {
        Finding { check, page: None, offset: None, text: text.into() }
    }

    /// A finding on a page, at a byte offset of the snapshot.
    pub(super) fn at(check: Check, page: u64, offset: u64, text: impl Into<String>) -> Finding {
        Finding { check, page: Some(page), offset: Some(offset), text: text.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.page, self.offset) {
            (Some(page), Some(offset)) => write!(f, "page {page} (offset {offset}): ")?,
            (Some(page), None) => write!(f, "page {page}: ")?,
            (None, Some(offset)) => write!(f, "offset {offset}: ")?,
            (None, None) => {}
        }
        f.write_str(&self.text)
    }
}

/// The findings of one proof, and how many more there were than are kept.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) kept: Vec<Finding>,
    pub(super) more: u64,
}

impl Findings {
    pub(super) fn push(&mut self, finding: Finding) {
        if self.kept.len() < MAX_FINDINGS {
            self.kept.push(finding);
        } else {
            self.more += 1;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

/// Why the reading of one page stopped: its damage, or a reader that failed.
#[derive(Debug)]
pub(super) enum PageError {
    Found(Finding),
    Io(io::Error),
}

impl From<Finding> for PageError {
    fn from(finding: Finding) -> PageError {
        PageError::Found(finding)
    }
}

impl From<io::Error> for PageError {
    fn from(error: io::Error) -> PageError {
        PageError::Io(error)
    }
}

impl PageError {
    /// The damage; bytes that end too early are damage too. `Err` is left to the reader's own failures.
    pub(super) fn damage(self, page: u64, offset: u64) -> io::Result<Finding> {
        match self {
            PageError::Found(finding) => Ok(finding),
            PageError::Io(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                Ok(Finding::at(Check::Truncated, page, offset, "the bytes of this page end too early"))
            }
            PageError::Io(e) => Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_distinct_and_kebab_case() {
        let mut seen = std::collections::BTreeSet::new();
        for check in Check::ALL {
            assert!(seen.insert(check.as_str()), "{} twice", check.as_str());
            assert!(check.as_str().chars().all(|c| c.is_ascii_lowercase() || c == '-'));
        }
    }

    #[test]
    fn a_finding_reads_with_its_place_and_serialises_with_its_label() {
        let finding = Finding::at(Check::KeyOrder, 12, 49152, "key 3 is not greater than key 2");
        assert_eq!(finding.to_string(), "page 12 (offset 49152): key 3 is not greater than key 2");
        let json = serde_json::to_value(&finding).unwrap();
        assert_eq!(json["check"], "key-order");
        assert_eq!(Finding::new(Check::Size, "too small").to_string(), "too small");
    }

    #[test]
    fn findings_are_capped_and_the_rest_counted() {
        let mut all = Findings::default();
        (0..250).for_each(|_| all.push(Finding::new(Check::Size, "x")));
        assert_eq!((all.kept.len(), all.more), (100, 150));
    }
}

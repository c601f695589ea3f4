// SPDX-License-Identifier: Apache-2.0
//! What verification found wrong: the closed list of checks, and one finding of one of them.
//!
//! A finding names pages, numbers and bucket names, never the content of a key or a value, which may be secret. A new check is
//! a row in `checks!` and a named row in `tests/it/corruption/rows.rs`.

use std::{fmt, io};

use serde::{Serialize, Serializer};

/// How many findings are kept. A file can have a finding on every page.
const MAX_FINDINGS: usize = 100;

macro_rules! checks {
    ($($name:ident $label:literal $doc:literal)*) => {
        /// The checks of a database. Their words are part of the public interface: they are never renamed.
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
    Size "size" "The size of the file is not that of a snapshot (pages, then 32 bytes)."
    Trailer "trailer" "The SHA-256 at the end does not match the bytes before it."
    Truncated "truncated" "The file ends before the end that its structure gives."
    MetaHeader "meta-header" "The header of a meta page is wrong."
    MetaMagic "meta-magic" "A meta page lacks the magic number of bbolt."
    MetaVersion "meta-version" "A meta page has an unknown format version."
    MetaPageSize "meta-page-size" "A meta page has an impossible page size, or not that of the other meta page."
    MetaChecksum "meta-checksum" "The checksum of a meta page is wrong."
    MetaTxid "meta-txid" "The transaction ids of the two meta pages are not consecutive."
    Length "length" "The database is longer or shorter than its high-water mark."
    PageRange "page-range" "A reference points outside the database or to a meta page."
    PageTwice "page-twice" "A page is referenced twice, or is inside another page."
    PageId "page-id" "A page has the number of another page."
    PageFlags "page-flags" "A page has the wrong type."
    PageCount "page-count" "The number of elements of a page is impossible."
    PageOverflow "page-overflow" "The overflow of a page passes the end of the file, or does not match its content."
    ElementFlags "element-flags" "A leaf element has unknown flags, or a plain key is among the top-level buckets."
    ElementPosition "element-position" "The data of an element is not where the data before it ends."
    ElementSize "element-size" "The key or value of an element does not fit into its page, or the key is empty or too long."
    KeyOrder "key-order" "A key is not greater than the key before it."
    KeyBounds "key-bounds" "A key is outside the range that the branch above gives its page."
    BucketHeader "bucket-header" "The header of a nested bucket has the wrong size or root."
    InlineBucket "inline-bucket" "The page inside the value of a bucket is malformed."
    LeafDepth "leaf-depth" "The leaves of a bucket are not all equally deep."
    Depth "depth" "The tree, or the nesting of buckets, is deeper than in any real database."
    Freelist "freelist" "The list of free pages is malformed or contradicts the tree."
    EtcdBuckets "etcd-buckets" "A bucket of etcd is missing, or a bucket is where etcd has values."
    EtcdRevision "etcd-revision" "A key of the bucket `key` is not a revision."
    EtcdValue "etcd-value" "A value of the bucket `key` is not the key-value record of its revision."
    EtcdMeta "etcd-meta" "A value of the bucket `meta` has the wrong form."
    EtcdMember "etcd-member" "A record of the bucket `members` cannot be read."
    SqliteHeader "sqlite-header" "The header of a SQLite database is wrong, or is not as kine uses SQLite."
    SqlitePage "sqlite-page" "The cells or the free space of a SQLite page are malformed."
    SqliteCell "sqlite-cell" "The overflow pages of a SQLite cell do not match its length."
    SqliteRecord "sqlite-record" "A record of SQLite is malformed."
    SqliteSchema "sqlite-schema" "The table of kine is not as kine makes it, or there is a view, a trigger or a table of an unusual form."
    SqliteIndex "sqlite-index" "An index does not match its table, or is not in order."
    KineRow "kine-row" "A row is not one that kine writes."
    KineHistory "kine-history" "The revisions of a key are not continuous, and no compaction explains it."
}

impl Serialize for Check {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which check it failed.
    pub check: Check,
    /// The number of the page, if it is in one.
    pub page: Option<u64>,
    /// The byte offset in the snapshot, if it is known.
    pub offset: Option<u64>,
    /// What is wrong, without the place.
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

/// The findings of one verification, at most [`MAX_FINDINGS`], and the number of the others.
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

/// Why reading a page failed: the page is corrupt, or its bytes cannot be read.
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
    /// The damage as a finding. Bytes that end too early are damage too.
    ///
    /// # Errors
    /// If the bytes cannot be read for another reason.
    pub(super) fn into_finding(self, page: u64, offset: u64) -> io::Result<Finding> {
        match self {
            PageError::Found(finding) => Ok(finding),
            PageError::Io(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                Ok(Finding::at(Check::Truncated, page, offset, "the file ends inside this page"))
            }
            PageError::Io(e) => Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_checks_are_distinct_and_kebab_case() {
        let mut seen = std::collections::BTreeSet::new();
        for check in Check::ALL {
            assert!(seen.insert(check.as_str()), "{} twice", check.as_str());
            assert!(check.as_str().chars().all(|c| c.is_ascii_lowercase() || c == '-'));
        }
    }

    #[test]
    fn findings_print_their_place_and_serialize_the_word_of_their_check() {
        let finding = Finding::at(Check::KeyOrder, 12, 49152, "key 3 is not greater than key 2");
        assert_eq!(finding.to_string(), "page 12 (offset 49152): key 3 is not greater than key 2");
        let json = serde_json::to_value(&finding).unwrap();
        assert_eq!(json["check"], "key-order");
        assert_eq!(Finding::new(Check::Size, "too small").to_string(), "too small");
    }

    #[test]
    fn findings_beyond_the_limit_are_counted_only() {
        let mut all = Findings::default();
        (0..250).for_each(|_| all.push(Finding::new(Check::Size, "x")));
        assert_eq!((all.kept.len(), all.more), (100, 150));
    }
}

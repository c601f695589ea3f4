// SPDX-License-Identifier: Apache-2.0
//! Writes bbolt files of every layout that the format allows, above all those that etcd does not make.
//!
//! For the tests of verification: any page size, inline and deeply nested buckets, several levels of branches, overflow, a
//! freelist or none. It shares no code with the reader. A new layout is a field of [`Shape`].

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

/// What a key refers to.
#[derive(Clone)]
pub(crate) enum Body {
    Value(Vec<u8>),
    Bucket(Bucket),
}

/// A bucket to be written.
#[derive(Clone, Default)]
pub(crate) struct Bucket {
    pub(crate) items: BTreeMap<Vec<u8>, Body>,
    /// Written into the value of its key instead of a page.
    pub(crate) inline: bool,
    pub(crate) sequence: u64,
}

impl Bucket {
    pub(crate) fn inline() -> Bucket {
        Bucket { inline: true, ..Bucket::default() }
    }

    pub(crate) fn put(mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Bucket {
        self.items.insert(key.as_ref().to_vec(), Body::Value(value.as_ref().to_vec()));
        self
    }

    pub(crate) fn nest(mut self, key: impl AsRef<[u8]>, bucket: Bucket) -> Bucket {
        self.items.insert(key.as_ref().to_vec(), Body::Bucket(bucket));
        self
    }
}

/// The layout of a file.
#[derive(Clone)]
pub(crate) struct Shape {
    pub(crate) page_size: usize,
    /// The most elements of a page: small numbers make high trees.
    pub(crate) per_page: usize,
    /// The transaction of the newer meta page.
    pub(crate) txid: u64,
    /// The newer meta page is page 1, as in the file of a running etcd after every second commit.
    pub(crate) swapped: bool,
    /// Leaves a free page after this many pages; 0 for none.
    pub(crate) hole_every: usize,
    /// Lists the free pages in a page, as etcd did before 3.4.
    pub(crate) freelist: bool,
    /// Gives a page that its content fills exactly one more page, as older versions of bbolt did.
    pub(crate) spare: bool,
}

impl Default for Shape {
    fn default() -> Shape {
        Shape {
            page_size: 4096,
            per_page: 1000,
            txid: 70,
            swapped: false,
            hole_every: 5,
            freelist: false,
            spare: false,
        }
    }
}

struct Element {
    flags: u32,
    key: Vec<u8>,
    value: Vec<u8>,
    child: u64,
}

struct Writer {
    shape: Shape,
    /// The pages from page 2 on.
    bytes: Vec<u8>,
    allocated: usize,
    free: Vec<u64>,
}

/// The database, without the trailer.
pub(crate) fn database(shape: &Shape, root: &Bucket) -> Vec<u8> {
    let mut writer = Writer { shape: shape.clone(), bytes: Vec::new(), allocated: 0, free: Vec::new() };
    let root = writer.bucket(root);
    let freelist = if shape.freelist { writer.freelist() } else { u64::MAX };
    let pages = writer.next();
    let mut db = Vec::new();
    for page in 0..2_u64 {
        let newer = (page == 1) == shape.swapped;
        let meta = Meta { root, freelist, pages, txid: if newer { shape.txid } else { shape.txid - 1 } };
        db.extend(meta.page(shape.page_size, page));
    }
    db.extend(writer.bytes);
    db
}

/// The snapshot: the database and its SHA-256.
pub(crate) fn with_trailer(mut database: Vec<u8>) -> Vec<u8> {
    let sum = Sha256::digest(&database);
    database.extend_from_slice(&sum);
    database
}

struct Meta {
    root: u64,
    freelist: u64,
    pages: u64,
    txid: u64,
}

impl Meta {
    fn page(&self, page_size: usize, page: u64) -> Vec<u8> {
        let mut out = header(page, 4, 0, 0);
        for n in [0xED0C_DAED_u32, 2, page_size as u32, 0] {
            out.extend(n.to_le_bytes());
        }
        for n in [self.root, 0, self.freelist, self.pages, self.txid] {
            out.extend(n.to_le_bytes());
        }
        out.extend(checksum(&out[16..]).to_le_bytes());
        out.resize(page_size, 0);
        out
    }
}

/// The checksum of a meta record: FNV-1a over its 56 bytes.
pub(crate) fn checksum(record: &[u8]) -> u64 {
    record.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

fn header(id: u64, flags: u16, count: u16, overflow: u32) -> Vec<u8> {
    [&id.to_le_bytes()[..], &flags.to_le_bytes(), &count.to_le_bytes(), &overflow.to_le_bytes()].concat()
}

/// Header, element table and data, without gaps.
fn layout(id: u64, leaf: bool, overflow: u32, elements: &[Element]) -> Vec<u8> {
    let mut out = header(id, if leaf { 2 } else { 1 }, elements.len() as u16, overflow);
    let mut at = 16 + 16 * elements.len();
    for (i, e) in elements.iter().enumerate() {
        let pos = (at - 16 - 16 * i) as u32;
        if leaf {
            for n in [e.flags, pos, e.key.len() as u32, e.value.len() as u32] {
                out.extend(n.to_le_bytes());
            }
        } else {
            out.extend(pos.to_le_bytes());
            out.extend((e.key.len() as u32).to_le_bytes());
            out.extend(e.child.to_le_bytes());
        }
        at += e.key.len() + e.value.len();
    }
    for e in elements {
        out.extend_from_slice(&e.key);
        out.extend_from_slice(&e.value);
    }
    out
}

impl Writer {
    fn next(&self) -> u64 {
        2 + (self.bytes.len() / self.shape.page_size) as u64
    }

    fn write(&mut self, content: impl Fn(u64, u32) -> Vec<u8>, size: usize) -> u64 {
        let page_size = self.shape.page_size;
        self.allocated += 1;
        if self.shape.hole_every > 0 && self.allocated.is_multiple_of(self.shape.hole_every) {
            self.free.push(self.next());
            // A free page keeps its old content.
            self.bytes.extend(std::iter::repeat_n(0xA5, page_size));
        }
        let pages = if self.shape.spare { size / page_size + 1 } else { size.div_ceil(page_size) };
        let id = self.next();
        let mut page = content(id, pages as u32 - 1);
        assert_eq!(page.len(), size);
        page.resize(pages * page_size, 0);
        self.bytes.extend(page);
        id
    }

    fn bucket(&mut self, bucket: &Bucket) -> u64 {
        let elements = self.elements(bucket);
        let mut level = self.spread(elements, true);
        while level.len() > 1 {
            level = self.spread(level, false);
        }
        level[0].child
    }

    fn elements(&mut self, bucket: &Bucket) -> Vec<Element> {
        let mut elements = Vec::new();
        for (key, body) in &bucket.items {
            let (flags, value) = match body {
                Body::Value(value) => (0, value.clone()),
                Body::Bucket(nested) => (1, self.nested(nested)),
            };
            elements.push(Element { flags, key: key.clone(), value, child: 0 });
        }
        elements
    }

    fn nested(&mut self, bucket: &Bucket) -> Vec<u8> {
        let mut value = Vec::new();
        if bucket.inline {
            value.extend(0_u64.to_le_bytes());
            value.extend(bucket.sequence.to_le_bytes());
            let elements = self.elements(bucket);
            value.extend(layout(0, true, 0, &elements));
        } else {
            value.extend(self.bucket(bucket).to_le_bytes());
            value.extend(bucket.sequence.to_le_bytes());
        }
        value
    }

    /// Writes elements to as many pages as they need. Returns the elements of the branch above.
    fn spread(&mut self, elements: Vec<Element>, leaf: bool) -> Vec<Element> {
        let room = self.shape.page_size;
        let mut pages: Vec<Vec<Element>> = vec![Vec::new()];
        let mut size = 16;
        for element in elements {
            let need = 16 + element.key.len() + element.value.len();
            let last = pages.last().unwrap().len();
            if last >= 2 && (size + need > room || last >= self.shape.per_page) {
                pages.push(Vec::new());
                size = 16;
            }
            size += need;
            pages.last_mut().unwrap().push(element);
        }
        let mut above = Vec::new();
        for page in pages {
            let size = layout(0, leaf, 0, &page).len();
            let child = self.write(|id, overflow| layout(id, leaf, overflow, &page), size);
            let key = page.first().map(|e| e.key.clone()).unwrap_or_default();
            above.push(Element { flags: 0, key, value: Vec::new(), child });
        }
        above
    }

    fn freelist(&mut self) -> u64 {
        // The list is written last, without a free page after it.
        self.shape.hole_every = 0;
        let free = self.free.clone();
        let many = free.len() >= 0xFFFF;
        let size = 16 + 8 * (free.len() + usize::from(many));
        self.write(
            |id, overflow| {
                let mut out = header(id, 0x10, if many { 0xFFFF } else { free.len() as u16 }, overflow);
                if many {
                    out.extend((free.len() as u64).to_le_bytes());
                }
                free.iter().for_each(|page| out.extend(page.to_le_bytes()));
                out
            },
            size,
        )
    }
}

/// An etcd revision as a key.
pub(crate) fn revision(main: i64, sub: i64) -> Vec<u8> {
    [&main.to_be_bytes()[..], b"_", &sub.to_be_bytes()].concat()
}

/// The marked revision of a deletion.
pub(crate) fn tombstone(main: i64, sub: i64) -> Vec<u8> {
    [&revision(main, sub)[..], b"t"].concat()
}

fn varint(mut n: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while n >= 0x80 {
        out.push((n & 0x7F) as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
    out
}

/// A protobuf field with bytes.
pub(crate) fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2][..], &varint(bytes.len() as u64), bytes].concat()
}

fn numeric(number: u8, n: i64) -> Vec<u8> {
    [&[number << 3][..], &varint(n as u64)].concat()
}

/// An etcd key-value record.
pub(crate) fn record(key: &[u8], created: i64, modified: i64, version: i64, value: &[u8]) -> Vec<u8> {
    let mut out = field(1, key);
    out.extend(numeric(2, created));
    out.extend(numeric(3, modified));
    out.extend(numeric(4, version));
    out.extend(field(5, value));
    out
}

/// The namespace kube-system as Kubernetes stores it.
pub(crate) fn kube_system(uid: &str) -> Vec<u8> {
    let metadata = [field(1, b"kube-system"), field(5, uid.as_bytes())].concat();
    let namespace = field(1, &metadata);
    let type_meta = [field(1, b"v1"), field(2, b"Namespace")].concat();
    [&b"k8s\0"[..], &field(1, &type_meta), &field(2, &namespace)].concat()
}

/// A database like that of etcd: `objects` revisions with values of `size` bytes, every ninth one a deletion, and the other
/// buckets.
pub(crate) fn etcd(objects: i64, size: usize) -> Bucket {
    let mut key = Bucket::default();
    key = key.put(revision(2, 0), record(b"/bootstrap/0123456789ab", 2, 2, 1, b"salt:secret"));
    key =
        key.put(revision(3, 0), record(b"/registry/namespaces/kube-system", 3, 3, 1, &kube_system("f00d-1")));
    for i in 0..objects {
        let name = format!("/registry/configmaps/default/cm-{}", i % 7);
        let main = 4 + i;
        if i % 9 == 8 {
            key = key.put(tombstone(main, 0), field(1, name.as_bytes()));
        } else {
            let value: Vec<u8> = (0..size).map(|b| (b as i64 * 7 + i) as u8).collect();
            key = key.put(revision(main, i % 2), record(name.as_bytes(), 4, main, 1 + i, &value));
        }
    }
    let member = r#"{"id":10501334649042878790,"peerURLs":["https://10.0.0.1:2380"],"name":"server-1-abc","clientURLs":["https://10.0.0.1:2379"]}"#;
    Bucket::default()
        .nest("key", key)
        .nest(
            "meta",
            Bucket::inline()
                .put("consistent_index", 4711_u64.to_be_bytes())
                .put("finishedCompactRev", revision(1, 0))
                .put("scheduledCompactRev", revision(1, 0))
                .put("term", 2_u64.to_be_bytes()),
        )
        .nest("members", Bucket::inline().put("91bc3c398fb3c146", member))
        .nest("cluster", Bucket::inline().put("clusterVersion", "3.4.0"))
        .nest("members_removed", Bucket::inline())
        .nest("alarm", Bucket::inline())
        .nest("auth", Bucket::inline().put("authRevision", 1_u64.to_be_bytes()))
        .nest("lease", Bucket::inline())
}

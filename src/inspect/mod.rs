// SPDX-License-Identifier: Apache-2.0
//! The proof: reads a snapshot and trusts none of its bytes.
//!
//! A snapshot is a bbolt file followed by the SHA-256 of it. [`hash`] and [`matches`] prove that it is as it
//! was written; [`prove`] that what was written is a whole database of etcd. Nothing here opens a file or
//! knows a path. The structure is read in `meta`, `page`, `ledger`, `freelist` and `bbolt`; what etcd puts
//! into it in `etcd`, `proto` and `nodes`. [`content`] boils a database down to what can be compared; [`in_place`] makes
//! the file of a stopped etcd readable for all of it.

use std::io;

use anyhow::Context;
use serde::Serialize;
use sha2::{Digest, Sha256};

mod bbolt;
mod canonical;
mod content;
mod facts;
mod finding;
mod freelist;
mod meta;
mod nodes;
mod page;
mod page_map;
mod proto;
mod read_ahead;
mod sample;

pub use canonical::{CanonicalImage, OfflineDb, canonicalize, open_offline};
pub use content::{Bootstrap, Comparison, Content, Sample, content};
pub use finding::{Check, Finding};
pub use meta::has_magic;
pub use nodes::{Address, Node};

use bbolt::Visitor;
use finding::Findings;

use crate::io::ReadAt;

/// The SHA-256 at the end of a snapshot, in bytes.
pub const TRAILER: u64 = 32;

/// Pages are multiples of this: what lets the trailer be told from a database without one, as etcd does it.
const SECTOR: u64 = 512;

/// Large enough that system calls do not count, small enough to stay in a second-level cache.
const CHUNK: usize = 256 * 1024;

/// So far ahead of the hash the disk is asked to read. The walk, which jumps about in the same file, spoils what the
/// kernel would guess by itself.
const AHEAD: u64 = 4 << 20;

/// What a snapshot says about itself. Worth something only next to an empty list of findings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// Bytes of a page: that of the machine which wrote it.
    pub page_size: u32,
    /// Pages of the database: its high-water mark.
    pub pages: u64,
    /// Pages that hold something; the others are free.
    pub pages_used: u64,
    /// The bbolt transaction that is kept.
    pub txid: u64,
    /// The revision of etcd's store.
    pub revision: i64,
    /// The revision up to which etcd has compacted, 0 if never.
    pub compacted: i64,
    /// Keys of the bucket `key`: every revision of every object, deletions too.
    pub key_revisions: u64,
    /// Keys of all buckets, as `etcdctl snapshot status` counts them.
    pub keys_total: u64,
    /// The last raft index that was applied, if the file says so.
    pub consistent_index: Option<u64>,
    /// The 12 hex digits of each live key `/bootstrap/<hash>`: the heads of the SHA-256 of the fitting
    /// tokens.
    pub token_hashes: Vec<String>,
    /// The members of the etcd cluster.
    pub members: Vec<Member>,
    /// The id of the Kubernetes cluster: the UID of the namespace kube-system.
    pub cluster_id: Option<String>,
    /// The version the etcd cluster had agreed on.
    pub etcd_cluster_version: Option<String>,
    /// Alarms that were raised when the snapshot was taken, in etcd's words: `NOSPACE`, `CORRUPT`.
    pub alarms: Vec<String>,
}

/// A member of the etcd cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Its id, in hex in most of etcd's output.
    pub id: u64,
    /// Its name; empty if it has not yet started.
    pub name: String,
    /// Where its peers reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
}

/// The outcome of a walk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckResult {
    /// What the snapshot says.
    pub facts: Facts,
    /// What is wrong with it, the first hundred; empty: proven.
    pub findings: Vec<Finding>,
    /// How many findings there are beyond those.
    pub more: u64,
}

impl CheckResult {
    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Walks the database part of a snapshot, the bytes `[0, db_len)`: every page, every key, every record's
/// frame.
///
/// Damage is reported as findings; an error is a reader that failed. A value's content is covered by [`hash`]
/// alone.
pub fn verify(data: &dyn ReadAt, db_len: u64) -> anyhow::Result<CheckResult> {
    let mut findings = Findings::default();
    let mut etcd = facts::Etcd::default();
    let facts = walk(data, db_len, &mut findings, &mut etcd).context("reading the database")?;
    let facts = match facts {
        Some(of_file) => etcd.facts(&mut findings, of_file),
        None => Facts::default(),
    };
    Ok(CheckResult { facts, findings: findings.kept, more: findings.more })
}

/// What is known of the file itself; `None` where no meta page leads into it.
fn walk(
    data: &dyn ReadAt,
    db_len: u64,
    findings: &mut Findings,
    visit: &mut dyn Visitor,
) -> io::Result<Option<Facts>> {
    let data = &read_ahead::ReadAhead::new(data);
    let Some(meta) = meta::newest(data, findings)? else { return Ok(None) };
    let page_size = u64::from(meta.page_size);
    if meta.pages.checked_mul(page_size) != Some(db_len) {
        let text =
            format!("{db_len} bytes of database, but {} pages of {page_size} bytes in use", meta.pages);
        findings.push(Finding::new(Check::Length, text));
    }
    // The mark may be a lie: nothing is sized after it that the file itself does not have.
    let pages = meta.pages.min(db_len.min(data.size()) / page_size);
    let mut ledger = page_map::PageMap::new(data, page_size, pages);
    let free = freelist::Freelist::claim(&mut ledger, meta.freelist, findings)?;
    bbolt::TreeWalk::new(&mut ledger, findings).tree(meta.root, visit)?;
    free.verify(&ledger, findings)?;
    let pages_used = ledger.used();
    Ok(Some(Facts { page_size: meta.page_size, pages, pages_used, txid: meta.txid, ..Facts::default() }))
}

/// How long the database part of a plain snapshot of `size` bytes is.
pub fn database_len(size: u64) -> Result<u64, Finding> {
    match size.checked_sub(TRAILER) {
        Some(db_len) if db_len > 0 && db_len % SECTOR == 0 => Ok(db_len),
        _ => Err(Finding::new(
            Check::Size,
            format!(
                "{size} bytes are not a database followed by its {TRAILER} byte SHA-256: cut off or not a snapshot"
            ),
        )),
    }
}

/// The SHA-256 a snapshot carries behind its database of `db_len` bytes.
pub fn trailer(data: &dyn ReadAt, db_len: u64) -> anyhow::Result<[u8; 32]> {
    let mut sum = [0; 32];
    data.read_exact_at(&mut sum, db_len).context("reading the trailer")?;
    Ok(sum)
}

/// The digests of a snapshot, from one pass over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digests {
    /// SHA-256 of the database, what the trailer has to be.
    pub database: [u8; 32],
    /// SHA-256 of the whole file, what `sha256sum` prints.
    pub file: [u8; 32],
}

/// Hashes a snapshot in order; `advance` hears of each chunk's bytes.
pub fn hash(data: &dyn ReadAt, db_len: u64, advance: &mut dyn FnMut(u64)) -> anyhow::Result<Digests> {
    let mut buf = vec![0; CHUNK];
    let mut sha = Sha256::new();
    feed(data, 0, db_len, &mut sha, &mut buf, advance)?;
    let database = sha.clone().finalize().into();
    feed(data, db_len, data.size(), &mut sha, &mut buf, advance)?;
    Ok(Digests { database, file: sha.finalize().into() })
}

/// The digests of a database without a trailer: `database` is what its trailer has to be, `file` what they give together.
pub fn seal(data: &dyn ReadAt, db_len: u64, advance: &mut dyn FnMut(u64)) -> anyhow::Result<Digests> {
    let mut sha = Sha256::new();
    feed(data, 0, db_len, &mut sha, &mut vec![0; CHUNK], advance)?;
    let database: [u8; 32] = sha.clone().finalize().into();
    sha.update(database);
    Ok(Digests { database, file: sha.finalize().into() })
}

fn feed(
    data: &dyn ReadAt,
    mut at: u64,
    end: u64,
    sha: &mut Sha256,
    buf: &mut [u8],
    advance: &mut dyn FnMut(u64),
) -> anyhow::Result<()> {
    let mut asked = at;
    while at < end {
        if asked < end && asked.saturating_sub(at) < AHEAD {
            data.will_need(asked, AHEAD.min(end - asked));
            asked = asked.saturating_add(AHEAD);
        }
        let want = usize::try_from(end - at).unwrap_or(usize::MAX).min(buf.len());
        let (chunk, _) = buf.split_at_mut(want);
        data.read_exact_at(chunk, at).with_context(|| format!("hashing at byte {at}"))?;
        sha.update(&*chunk);
        at += want as u64;
        advance(want as u64);
    }
    Ok(())
}

/// Compares the database's digest with the trailer.
pub fn check_trailer(database: &[u8; 32], trailer: &[u8; 32]) -> Result<(), Finding> {
    if database == trailer {
        return Ok(());
    }
    let text = format!("the database's SHA-256 is {}, the trailer says {}", hex(database), hex(trailer));
    Err(Finding::new(Check::Trailer, text))
}

fn hex(sum: &[u8; 32]) -> String {
    sum.iter().map(|b| format!("{b:02x}")).collect()
}

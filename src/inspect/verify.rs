// SPDX-License-Identifier: Apache-2.0
//! The check of a database: every page, every key, the frame of every record.
//!
//! Bounded in memory and time by the real size of the file, whatever the file claims. The content of values is covered by the
//! checksum alone.

use std::io;

use anyhow::Context;
use serde::Serialize;

use super::bbolt::{TreeWalk, Visitor};
use super::facts::{Facts, FactsCollector};
use super::finding::{Check, Finding, Findings};
use super::freelist::Freelist;
use super::meta;
use super::objects::KeptObjects;
use super::page_map::PageMap;
use super::read_ahead::ReadAhead;
use super::sqlite::{self, KineFacts};
use crate::datastore::Datastore;
use crate::io::ReadAt;

/// The result of the check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckResult {
    /// The facts that were read from the database. Meaningful only if there are no findings.
    pub facts: Facts,
    /// What is wrong, at most the first hundred. Empty: verified.
    pub findings: Vec<Finding>,
    /// How many findings there are in addition to those.
    pub more: u64,
}

impl CheckResult {
    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Which datastore a file looks like a database of; `None` if it looks like neither.
pub fn datastore_of(data: &dyn ReadAt) -> Option<Datastore> {
    match sqlite::has_magic(data) {
        true => Some(Datastore::Sqlite),
        false => meta::has_magic(data).then_some(Datastore::Etcd),
    }
}

/// Checks the database part of a snapshot, the bytes `[0, db_len)`. Damage is reported as findings.
///
/// # Errors
/// If the bytes cannot be read. Bytes that end too early are a finding instead.
pub fn verify(data: &dyn ReadAt, db_len: u64) -> anyhow::Result<CheckResult> {
    verify_keeping(data, db_len, &[]).map(|(result, _)| result)
}

/// The same, and gives the newest values of these keys.
///
/// # Errors
/// As [`verify`].
pub fn verify_keeping(
    data: &dyn ReadAt,
    db_len: u64,
    keys: &[Vec<u8>],
) -> anyhow::Result<(CheckResult, KeptObjects)> {
    let mut findings = Findings::default();
    if sqlite::has_magic(data) {
        let mut collector = KineFacts::keeping(keys);
        sqlite::walk(data, db_len, &mut findings, &mut collector).context("reading the database")?;
        let kept = collector.take_kept();
        let (facts, Findings { kept: findings, more }) = (collector.finish(), findings);
        return Ok((CheckResult { facts, findings, more }, kept));
    }
    let mut collector = FactsCollector::keeping(keys);
    let found = walk(data, db_len, &mut findings, &mut collector).context("reading the database")?;
    let kept = collector.take_kept();
    let facts = if found { collector.finish(&mut findings) } else { Facts::default() };
    Ok((CheckResult { facts, findings: findings.kept, more: findings.more }, kept))
}

/// Walks the whole database. False if no meta page leads into it.
pub(super) fn walk(
    data: &dyn ReadAt,
    db_len: u64,
    findings: &mut Findings,
    visitor: &mut dyn Visitor,
) -> io::Result<bool> {
    let data = &ReadAhead::new(data);
    let Some(meta) = meta::newest(data, findings)? else { return Ok(false) };
    let page_size = u64::from(meta.page_size);
    if meta.pages.checked_mul(page_size) != Some(db_len) {
        let text = format!(
            "the database has {db_len} bytes, but {} pages of {page_size} bytes are in use",
            meta.pages
        );
        findings.push(Finding::new(Check::Length, text));
    }
    // The high-water mark may be wrong: nothing is sized by it beyond what the file really has.
    let pages = meta.pages.min(db_len.min(data.size()) / page_size);
    let mut page_map = PageMap::new(data, page_size, pages);
    let freelist = Freelist::claim(&mut page_map, meta.freelist, findings)?;
    TreeWalk::new(&mut page_map, findings).run(meta.root, visitor)?;
    freelist.verify(&page_map, findings)?;
    Ok(true)
}

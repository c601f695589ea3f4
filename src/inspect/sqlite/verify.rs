// SPDX-License-Identifier: Apache-2.0
//! The walk of a whole database: schema, rows, indexes, free pages; and no page is left over.

use std::io;

use super::btree::{Entry, OnEntry, Walk, Wrong};
use super::freelist;
use super::header::{HEADER, Header};
use super::index::IndexCheck;
use super::kine::{RowVisitor, read_row};
use super::page::Tree;
use super::pages::Pages;
use super::record;
use super::schema::{Object, Schema};
use crate::inspect::finding::{Check, Finding, Findings};
use crate::inspect::read_ahead::ReadAhead;
use crate::io::ReadAt;

/// Walks the database part `[0, db_len)`. False if the header leads nowhere.
///
/// # Errors
/// If the bytes cannot be read. Bytes that end too early are a finding instead.
pub(in crate::inspect) fn walk(
    data: &dyn ReadAt,
    db_len: u64,
    findings: &mut Findings,
    rows: &mut dyn RowVisitor,
) -> io::Result<bool> {
    let data = &ReadAhead::new(data);
    let Some(header) = read_header(data, db_len, findings)? else { return Ok(false) };
    let mut all = Database { pages: Pages::new(data, &header, db_len), findings };
    let schema = all.schema()?;
    let kine = match schema.kine() {
        // After damage, a table may exist that the walk did not reach.
        Err(_) if !all.findings.is_empty() => return Ok(true),
        Err(wrong) => {
            all.found(wrong);
            return Ok(true);
        }
        Ok(kine) => kine,
    };
    let mut indexes: Vec<(&Object, Option<IndexCheck>)> = schema.indexes().collect();
    all.rows(kine, &mut indexes, rows)?;
    for (object, check) in &mut indexes {
        all.index(object, check.as_mut())?;
    }
    for object in schema.objects.iter().filter(|o| o.table != kine.table) {
        all.other(object)?;
    }
    freelist::claim(&mut all.pages, &header, all.findings)?;
    if let Some(page) = all.pages.first_unused().filter(|_| all.findings.is_empty()) {
        let text = "the page is neither in use nor free";
        all.findings.push(Finding::at(Check::Freelist, page, all.pages.offset(page), text));
    }
    Ok(true)
}

fn read_header(data: &dyn ReadAt, db_len: u64, findings: &mut Findings) -> io::Result<Option<Header>> {
    let mut bytes = [0; HEADER];
    let parsed = match data.read_exact_at(&mut bytes, 0) {
        Ok(()) => Header::parse(&bytes),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
            Err(Finding::at(Check::Truncated, 1, 0, "the file ends inside its header"))
        }
        Err(e) => return Err(e),
    };
    let header = match parsed {
        Ok(header) => header,
        Err(finding) => {
            findings.push(finding);
            return Ok(None);
        }
    };
    let len = u64::from(header.pages) * u64::from(header.page_size);
    if len != db_len {
        let (pages, size) = (header.pages, header.page_size);
        let text = format!("the database has {db_len} bytes, but {pages} pages of {size} bytes are in use");
        findings.push(Finding::new(Check::Length, text));
    }
    Ok(Some(header))
}

struct Database<'a, 'f> {
    pages: Pages<'a>,
    findings: &'f mut Findings,
}

impl Database<'_, '_> {
    fn found(&mut self, (check, text): Wrong) {
        self.findings.push(Finding::new(check, text));
    }

    fn walk(&mut self, root: u32, tree: Tree, hashes: bool, on_entry: &mut OnEntry<'_>) -> io::Result<()> {
        let from = u64::from(root != 1);
        Walk::new(&mut self.pages, self.findings, tree, hashes, on_entry).run(root, from)
    }

    fn schema(&mut self) -> io::Result<Schema> {
        let mut schema = Schema::default();
        self.walk(1, Tree::Table, false, &mut |entry| schema.add(entry))?;
        Ok(schema)
    }

    /// The rows of kine. Each is counted for every index.
    fn rows(
        &mut self,
        kine: &Object,
        indexes: &mut [(&Object, Option<IndexCheck>)],
        rows: &mut dyn RowVisitor,
    ) -> io::Result<()> {
        let hashes = rows.wants_digests();
        self.walk(kine.root, Tree::Table, hashes, &mut |entry| {
            let (row, values) = read_row(entry)?;
            indexes.iter_mut().filter_map(|(_, check)| check.as_mut()).for_each(|i| i.row(row.id, &values));
            rows.row(&row)
        })?;
        // Damage may have hidden rows.
        if self.findings.is_empty()
            && let Err(wrong) = rows.end()
        {
            self.found(wrong);
        }
        Ok(())
    }

    fn index(&mut self, object: &Object, check: Option<&mut IndexCheck>) -> io::Result<()> {
        let Some(check) = check else { return self.other(object) };
        self.walk(object.root, Tree::Index, false, &mut |entry| check.entry(entry))?;
        if self.findings.is_empty()
            && let Err((kind, text)) = check.finish()
        {
            self.found((kind, format!("'{}': {text}", object.name.escape_debug())));
        }
        Ok(())
    }

    /// A table or an index of which only the form matters.
    fn other(&mut self, object: &Object) -> io::Result<()> {
        let tree = if object.is_index { Tree::Index } else { Tree::Table };
        self.walk(object.root, tree, false, &mut |entry: &Entry<'_>| {
            let malformed = || (Check::SqliteRecord, "a record is malformed".to_owned());
            record::parse(entry.head, entry.len).map(drop).ok_or_else(malformed)
        })
    }
}

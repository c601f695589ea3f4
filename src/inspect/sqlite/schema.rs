// SPDX-License-Identifier: Apache-2.0
//! The tables and indexes of a database. The table of kine must be as kine makes it, with no view and no trigger: SQL of another
//! origin would run in K3s. Tables of other programs, such as those of Litestream, are not used by K3s; only their pages are
//! verified.

use super::btree::{Entry, Wrong};
use super::index::{Column, IndexCheck, Scope};
use super::record::{self, Value};
use crate::inspect::finding::Check;

/// The table of kine.
const KINE: &str = "kine";
/// The columns of kine's table, in their order.
const COLUMNS: [&str; 9] =
    ["id", "name", "created", "deleted", "create_revision", "prev_revision", "lease", "value", "old_value"];
/// The types that kine gives its columns.
const TYPES: [&str; 3] = ["INTEGER", "TEXT", "BLOB"];
/// The index by which kine makes sure that a revision has one successor.
const UNIQUE: &str = "kine_name_prev_revision_uindex";
/// The indexes of which the form is known. A later kine may add others.
const INDEXES: [&str; 7] = [
    "kine_name_index",
    "kine_name_id_index",
    "kine_id_deleted_index",
    "kine_prev_revision_index",
    "kine_list_query_index",
    "kine_id_compact_rev_key_with_prev_revision_index",
    UNIQUE,
];
/// The end of the text of the one index that kine makes for a part of the rows.
const REPLACING: &str = "WHERE name != 'compact_rev_key' AND prev_revision != 0";
/// The tables that SQLite makes for itself, with their texts.
const OF_SQLITE: [(&str, &str); 3] = [
    ("sqlite_sequence", "CREATE TABLE sqlite_sequence(name,seq)"),
    ("sqlite_stat1", "CREATE TABLE sqlite_stat1(tbl,idx,stat)"),
    ("sqlite_stat4", "CREATE TABLE sqlite_stat4(tbl,idx,neq,nlt,ndlt,sample)"),
];
/// The most tables and indexes that are read. kine has seven.
const MAX_OBJECTS: usize = 100;
/// The longest name or text of a table or index, in bytes.
const MAX_SQL: usize = 16 << 10;

/// A table or an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Object {
    /// Whether it is an index.
    pub(super) is_index: bool,
    /// Its name.
    pub(super) name: String,
    /// The table that it belongs to.
    pub(super) table: String,
    /// Its root page.
    pub(super) root: u32,
    sql: String,
}

/// What a database consists of.
#[derive(Debug, Default)]
pub(super) struct Schema {
    /// Tables and indexes.
    pub(super) objects: Vec<Object>,
}

fn wrong(text: impl Into<String>) -> Wrong {
    (Check::SqliteSchema, text.into())
}

impl Schema {
    /// Adds a row of the table `sqlite_schema`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn add(&mut self, entry: &Entry<'_>) -> Result<(), Wrong> {
        let values = record::parse(entry.head, entry.len)
            .ok_or((Check::SqliteRecord, "a record of the schema is malformed".into()))?;
        let [Value::Text(kind), Value::Text(name), Value::Text(table), Value::Int(root), sql] = *values
        else {
            return Err(wrong(
                "a row of the schema is malformed, or is a view or a trigger, which kine does not make",
            ));
        };
        let is_index = match kind {
            b"table" => false,
            b"index" => true,
            _ => return Err(wrong("a view or a trigger, which kine does not make")),
        };
        let root = u32::try_from(root).ok().filter(|root| *root > 1);
        let root =
            root.ok_or_else(|| wrong("a table or index has no root page; kine makes no virtual tables"))?;
        let text = |bytes: &[u8]| match bytes.len() <= MAX_SQL {
            true => std::str::from_utf8(bytes)
                .map(str::to_owned)
                .map_err(|_| wrong("a name of the schema is no text")),
            false => Err(wrong("a name or text of the schema is too long")),
        };
        let sql = match sql {
            Value::Text(sql) => text(sql)?,
            Value::Null => String::new(),
            _ => return Err(wrong("a row of the schema is malformed")),
        };
        if self.objects.len() >= MAX_OBJECTS {
            return Err(wrong("more tables and indexes than kine makes"));
        }
        self.objects.push(Object { is_index, name: text(name)?, table: text(table)?, root, sql });
        Ok(())
    }

    /// The table of kine.
    ///
    /// # Errors
    /// If it is missing, or is not kine's.
    pub(super) fn kine(&self) -> Result<&Object, Wrong> {
        if let Some(other) = self.objects.iter().find(|o| !o.is_of_kine()) {
            let what = format!("'{}' is not as kine or SQLite makes it", other.name.escape_debug());
            return Err(wrong(what));
        }
        let kine = self.objects.iter().find(|o| !o.is_index && o.table == KINE);
        let kine = kine.ok_or_else(|| wrong("not a database of kine: it has no table 'kine'"))?;
        let has_unique = self.indexes().any(|(o, check)| o.name == UNIQUE && check.is_some_and(|c| c.unique));
        match has_unique {
            true => Ok(kine),
            false => Err(wrong(format!("the unique index '{UNIQUE}' is missing"))),
        }
    }

    /// The indexes of the table of kine, with what their entries must be; `None` if that is not known.
    pub(super) fn indexes(&self) -> impl Iterator<Item = (&Object, Option<IndexCheck>)> {
        self.objects.iter().filter(|o| o.is_index && o.table == KINE).map(|o| (o, index_check(&o.sql)))
    }
}

impl Object {
    /// Whether it is an ordinary table of another program, or an index of one, with a text of words only.
    fn is_of_another_program(&self) -> bool {
        let automatic = format!("sqlite_autoindex_{}_", self.table);
        if self.is_index && self.sql.is_empty() {
            return self.name.starts_with(&automatic);
        }
        let Some(all) = tokens(&self.sql) else { return false };
        if self.is_index {
            return begins_like_an_index(&self.sql, &self.name, &self.table);
        }
        self.name == self.table
            && !self.name.to_ascii_lowercase().starts_with("sqlite_")
            && all.get(..4).is_some_and(|head| same(head, &["CREATE", "TABLE", &self.name, "("]))
            // Nothing follows: a table without row numbers has another form.
            && all.last() == Some(&")")
    }

    /// Whether its text is one of kine, of SQLite for its own tables, or harmless.
    fn is_of_kine(&self) -> bool {
        if self.table != KINE && !self.name.starts_with("sqlite_stat") && self.name != "sqlite_sequence" {
            return self.is_of_another_program();
        }
        if self.is_index {
            let is_known = !INDEXES.contains(&&*self.name) || index_check(&self.sql).is_some();
            return self.table == KINE && is_known && begins_like_an_index(&self.sql, &self.name, KINE);
        }
        let of_sqlite = OF_SQLITE.iter().any(|(name, sql)| self.name == *name && self.sql == *sql);
        self.name == self.table && (of_sqlite || self.name == KINE && is_table_of_kine(&self.sql))
    }
}

/// The words and the punctuation of a text. `None` if it has anything else, which kine's texts do not have.
fn tokens(sql: &str) -> Option<Vec<&str>> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let (mut all, mut rest) = (Vec::new(), sql.trim_ascii_start());
    while let Some(first) = rest.chars().next() {
        let len = match first {
            '(' | ')' | ',' => 1,
            c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            _ => return None,
        };
        let (token, after) = rest.split_at_checked(len)?;
        all.push(token);
        rest = after.trim_ascii_start();
    }
    Some(all)
}

/// Whether the texts are equal but for their case.
fn same(words: &[&str], wanted: &[&str]) -> bool {
    words.len() == wanted.len() && words.iter().zip(wanted).all(|(a, b)| a.eq_ignore_ascii_case(b))
}

/// Whether it is the text of the table of kine: its columns in their order, each with a type.
fn is_table_of_kine(sql: &str) -> bool {
    let Some(all) = tokens(sql) else { return false };
    let Some((head, rest)) = all.split_at_checked(4) else { return false };
    let Some((&")", rest)) = rest.split_last() else { return false };
    let columns: Vec<&[&str]> = rest.split(|token| *token == ",").collect();
    let is_column = |(column, name): (&&[&str], &&str)| match **column {
        [first, kind] => {
            first.eq_ignore_ascii_case(name) && TYPES.iter().any(|t| kind.eq_ignore_ascii_case(t))
        }
        [..] => *name == "id" && same(column, &["id", "INTEGER", "PRIMARY", "KEY", "AUTOINCREMENT"]),
    };
    same(head, &["CREATE", "TABLE", KINE, "("])
        && columns.len() == COLUMNS.len()
        && columns.iter().zip(&COLUMNS).all(is_column)
        && columns.first().is_some_and(|id| id.len() > 2)
}

/// Whether it is the text of an index of this name of this table, up to its columns.
fn begins_like_an_index(sql: &str, name: &str, table: &str) -> bool {
    let head = sql.split_once('(').and_then(|(head, _)| tokens(head));
    head.is_some_and(|head| match *head.as_slice() {
        [create, unique, ref rest @ ..] if same(&[create, unique], &["CREATE", "UNIQUE"]) => {
            same(rest, &["INDEX", name, "ON", table])
        }
        [create, ref rest @ ..] => same(&[create], &["CREATE"]) && same(rest, &["INDEX", name, "ON", table]),
        [] => false,
    })
}

/// What the entries of an index of kine's table must be. `None` if it is not an index of plain columns, of all rows or of those
/// that replace a revision.
fn index_check(sql: &str) -> Option<IndexCheck> {
    let (sql, scope) = match sql.strip_suffix(REPLACING) {
        Some(sql) => (sql, Scope::Replacing),
        None => (sql, Scope::All),
    };
    let all = tokens(sql)?;
    let (head, columns) = all.split_at(all.iter().position(|token| *token == "(")?);
    let columns = columns.split_first()?.1.split_last().filter(|(end, _)| **end == ")")?.1;
    let columns: Option<Vec<Column>> = columns.split(|token| *token == ",").map(index_column).collect();
    let unique = head.get(1)?.eq_ignore_ascii_case("unique");
    Some(IndexCheck::new(columns?, unique, scope))
}

fn index_column(words: &[&str]) -> Option<Column> {
    let (name, descending) = match *words {
        [name] => (name, false),
        [name, order] if order.eq_ignore_ascii_case("asc") => (name, false),
        [name, order] if order.eq_ignore_ascii_case("desc") => (name, true),
        _ => return None,
    };
    let at = COLUMNS.iter().position(|column| column.eq_ignore_ascii_case(name))?;
    Some(Column { at, descending })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_table_of_kine_is_one() {
        let columns = "id INTEGER PRIMARY KEY AUTOINCREMENT,\n\tname TEXT, created INTEGER, deleted INTEGER, create_revision \
                       INTEGER, prev_revision INTEGER, lease INTEGER, value BLOB, old_value BLOB";
        let table = |columns: &str| is_table_of_kine(&format!("CREATE TABLE kine\n\t(\n{columns}\n)"));
        assert!(table(columns) && table(&columns.to_lowercase()));
        for other in [
            &columns.replace("AUTOINCREMENT", ""),
            &columns.replace("lease INTEGER", "lease INTEGER DEFAULT (1)"),
            &columns.replace("lease INTEGER", "lease"),
            &columns.replace("lease INTEGER,", ""),
            &columns.replace("created INTEGER, deleted", "deleted INTEGER, created"),
            "",
        ] {
            assert!(!table(other), "{other}");
        }
        assert!(!is_table_of_kine(&format!("CREATE TABLE kane({columns})")));
    }

    #[test]
    fn the_text_of_an_index_has_its_name_and_its_table() {
        let begins = |sql| begins_like_an_index(sql, "i", KINE);
        assert!(
            begins("CREATE UNIQUE INDEX i ON kine (name)") && begins("CREATE INDEX i ON kine(lower(name))")
        );
        for other in
            ["CREATE INDEX j ON kine (name)", "CREATE INDEX i ON kane (name)", "CREATE INDEX i ON kine", ""]
        {
            assert!(!begins(other), "{other}");
        }
    }

    #[test]
    fn an_ordinary_table_of_another_program_is_harmless() {
        let table = |name: &str, sql: &str| Object {
            is_index: false,
            name: name.into(),
            table: name.into(),
            root: 9,
            sql: sql.into(),
        };
        for sql in
            ["CREATE TABLE _seq (id INTEGER PRIMARY KEY, seq INTEGER)", "CREATE TABLE _seq(x DEFAULT (1))"]
        {
            assert!(table("_seq", sql).is_of_kine(), "{sql}");
        }
        for sql in [
            "CREATE TABLE _seq (x) WITHOUT ROWID",
            "CREATE TABLE other (x)",
            "CREATE TABLE _seq (x DEFAULT (load('y')))",
            "CREATE VIRTUAL TABLE _seq USING x(y)",
            "",
        ] {
            assert!(!table("_seq", sql).is_of_kine(), "{sql}");
        }
        assert!(!table("sqlite_stat9", "CREATE TABLE sqlite_stat9(a)").is_of_kine());
        let index =
            |name: &str, sql: &str| Object { is_index: true, name: name.into(), ..table("_seq", sql) };
        assert!(index("sqlite_autoindex__seq_1", "").is_of_kine() && !index("i", "").is_of_kine());
        assert!(index("i", "CREATE UNIQUE INDEX i ON _seq (x)").is_of_kine());
        assert!(!index("i", "CREATE INDEX i ON kine (x)").is_of_kine());
    }

    #[test]
    fn only_indexes_of_plain_columns_and_known_rows_are_understood() {
        let known = index_check("CREATE UNIQUE INDEX i ON kine (name, id DESC)").unwrap();
        assert!(known.unique);
        assert_eq!(known.columns, [Column { at: 1, descending: false }, Column { at: 0, descending: true }]);
        assert!(
            index_check("CREATE INDEX i ON kine (name)").is_some_and(|i| !i.unique && i.scope == Scope::All)
        );
        let partial = index_check(&format!("CREATE INDEX i ON kine(id, name) {REPLACING}")).unwrap();
        assert_eq!((partial.columns.len(), partial.scope), (2, Scope::Replacing));
        for other in [
            "CREATE INDEX i ON kine (lower(name))",
            "CREATE INDEX i ON kine (name COLLATE nocase)",
            "CREATE INDEX i ON kine (name) WHERE deleted",
            "CREATE INDEX i ON kine (other)",
            "",
        ] {
            assert!(index_check(other).is_none(), "{other}");
        }
    }
}

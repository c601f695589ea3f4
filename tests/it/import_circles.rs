// SPDX-License-Identifier: Apache-2.0
//! Imports between the files of `src`, and the circles in them. There must be none: what two files need of each other
//! belongs into a third one.
//!
//! A name that a `mod.rs` re-exports counts as an import of that `mod.rs`, and its `pub use child::...` as an import of the
//! child. So a `mod.rs` that defines what its children use is a circle: it should only declare and re-export.

use std::collections::{BTreeMap, BTreeSet};

use crate::documents::{files_below, read};
use crate::support::rust_source::{self, without_tests};

/// A file of `src` with what it imports.
pub(crate) struct Source {
    /// Path below `src`.
    pub(crate) file: String,
    /// The whole text.
    pub(crate) text: String,
    /// Line and path, from the root of the crate without `crate::`, of each name of ours that the file uses.
    pub(crate) imports: Vec<(usize, String)>,
}

/// Every file of `src` that is not a test.
pub(crate) fn sources() -> Vec<Source> {
    let files =
        files_below("src", ".rs").into_iter().filter(|f| !f.ends_with("/tests.rs") && !f.contains("/tests/"));
    files
        .map(|path| {
            let (file, text) = (path.strip_prefix("src/").unwrap().to_owned(), read(&path));
            let imports = imports(&file, &text);
            Source { file, text, imports }
        })
        .collect()
}

/// The path of the module that a file is, from the root of the crate: `host/fs.rs` is `host`, `fs`.
fn module_of(file: &str) -> Vec<String> {
    let path = file.trim_end_matches(".rs").trim_end_matches("/mod");
    match path {
        "lib" => vec![],
        path => path.split('/').map(str::to_owned).collect(),
    }
}

/// Identifiers, `::` and single signs, each with its line.
fn tokens(code: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    for (i, line) in code.lines().enumerate() {
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            let word = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            let length = match first {
                c if c.is_alphanumeric() || c == '_' => word,
                ':' if rest.starts_with("::") => 2,
                c => c.len_utf8(),
            };
            if !first.is_whitespace() {
                found.push((i + 1, rest[..length].to_owned()));
            }
            rest = &rest[length..];
        }
    }
    found
}

/// The paths of ours that a file uses: in `use` items, with brace lists spelled out, and in code.
pub(crate) fn imports(file: &str, text: &str) -> Vec<(usize, String)> {
    let tokens = tokens(&rust_source::code(without_tests(text)));
    let module = module_of(file);
    let is = |i: usize, text: &str| tokens.get(i).is_some_and(|(_, t)| t == text);
    // A child module can be named without `self::`.
    let children: BTreeSet<&str> = (1..tokens.len())
        .filter(|i| is(i - 1, "mod") && is(i + 1, ";"))
        .map(|i| tokens[i].1.as_str())
        .collect();
    let mut found = Vec::new();
    for (i, (line, token)) in tokens.iter().enumerate() {
        if !is(i + 1, "::") || i > 0 && (is(i - 1, "::") || is(i - 1, ".")) {
            continue;
        }
        // A visibility, as in `pub(in crate::a)`.
        if i > 1 && is(i - 1, "in") && is(i - 2, "(") {
            continue;
        }
        let base = match token.as_str() {
            "crate" | "k3s_snapshot" => vec![],
            "self" => module.clone(),
            "super" => module[..module.len().saturating_sub(1)].to_vec(),
            child if children.contains(child) => [&module[..], &[child.to_owned()]].concat(),
            _ => continue,
        };
        let mut paths = Vec::new();
        path_tree(&tokens, i + 2, base, &mut paths);
        found.extend(paths.into_iter().map(|path| (*line, path.join("::"))));
    }
    found
}

/// Reads what follows `::`: a name, a list in braces, `*`. Returns the position behind it.
fn path_tree(
    tokens: &[(usize, String)],
    at: usize,
    base: Vec<String>,
    paths: &mut Vec<Vec<String>>,
) -> usize {
    let token = |i: usize| tokens.get(i).map_or("", |(_, t)| t.as_str());
    match token(at) {
        "{" => {
            let mut next = at + 1;
            while !["}", ""].contains(&token(next)) {
                next = match token(next) {
                    "," => next + 1,
                    _ => path_tree(tokens, next, base.clone(), paths),
                };
            }
            next + 1
        }
        "super" if token(at + 1) == "::" => {
            path_tree(tokens, at + 2, base[..base.len().saturating_sub(1)].to_vec(), paths)
        }
        "self" | "*" | "<" => {
            paths.push(base);
            at + 1
        }
        name => {
            let path = [base, vec![name.to_owned()]].concat();
            match (token(at + 1), token(at + 2)) {
                ("::", "<") | ("as", _) => {
                    paths.push(path);
                    at + 3
                }
                ("::", _) => path_tree(tokens, at + 2, path, paths),
                _ => {
                    paths.push(path);
                    at + 1
                }
            }
        }
    }
}

/// The file of a path: that of the longest module in it.
fn file_of<'a>(files: &'a BTreeMap<Vec<String>, String>, path: &str) -> Option<&'a str> {
    let mut segments: Vec<String> = path.split("::").map(str::to_owned).collect();
    while !segments.is_empty() {
        if let Some(file) = files.get(&segments) {
            return Some(file);
        }
        segments.pop();
    }
    None
}

/// Which file imports which, with the line of one such import.
type Graph = BTreeMap<String, BTreeMap<String, usize>>;

fn graph(sources: &[Source]) -> Graph {
    let files: BTreeMap<Vec<String>, String> =
        sources.iter().map(|s| (module_of(&s.file), s.file.clone())).collect();
    let edges = |s: &Source| {
        let imported =
            s.imports.iter().filter_map(|(line, path)| Some((file_of(&files, path)?.to_owned(), *line)));
        imported.filter(|(file, _)| *file != s.file).collect()
    };
    sources.iter().map(|s| (s.file.clone(), edges(s))).collect()
}

/// The groups of files that import each other, directly or through others (Tarjan).
fn circles(graph: &Graph) -> Vec<BTreeSet<String>> {
    struct Search<'a> {
        graph: &'a Graph,
        index: BTreeMap<&'a str, usize>,
        low: BTreeMap<&'a str, usize>,
        stack: Vec<&'a str>,
        found: Vec<BTreeSet<String>>,
    }
    fn visit<'a>(search: &mut Search<'a>, file: &'a str) {
        let number = search.index.len();
        search.index.insert(file, number);
        search.low.insert(file, number);
        search.stack.push(file);
        for next in search.graph[file].keys().map(String::as_str) {
            if !search.index.contains_key(next) {
                visit(search, next);
                search.low.insert(file, search.low[file].min(search.low[next]));
            } else if search.stack.contains(&next) {
                search.low.insert(file, search.low[file].min(search.index[next]));
            }
        }
        if search.low[file] == number {
            let at = search.stack.iter().position(|f| *f == file).unwrap();
            let group: BTreeSet<String> = search.stack.split_off(at).into_iter().map(str::to_owned).collect();
            search.found.extend((group.len() > 1).then_some(group));
        }
    }
    let mut search =
        Search { graph, index: BTreeMap::new(), low: BTreeMap::new(), stack: vec![], found: vec![] };
    for file in graph.keys() {
        if !search.index.contains_key(file.as_str()) {
            visit(&mut search, file);
        }
    }
    search.found
}

#[test]
fn files_import_each_other_in_one_direction() {
    let sources = sources();
    let graph = graph(&sources);
    let mut new = String::new();
    for circle in circles(&graph) {
        new.push_str(&format!("circle of {circle:?}:\n"));
        for file in &circle {
            for (to, line) in graph[file].iter().filter(|(to, _)| circle.contains(*to)) {
                new.push_str(&format!("  src/{file}:{line} imports {to}\n"));
            }
        }
    }
    assert!(new.is_empty(), "{new}");
}

#[test]
fn imports_are_read_in_every_form() {
    let text = "mod child;\npub use child::A;\nuse crate::host::{Draft, fs::{self, id_of as id}};\nuse super::x;\n\
                fn f() { crate::store::local::Local::new(); self::y(); Vec::<u8>::new(); child::g() }\n// crate::no\n\
                pub(in crate::no) fn g() {}\n";
    let found: BTreeSet<String> = imports("a/b/mod.rs", text).into_iter().map(|(_, path)| path).collect();
    let wanted =
        ["a::b::child::A", "a::b::child::g", "a::b::y", "a::x", "host::Draft", "host::fs", "host::fs::id_of"];
    let wanted = wanted.into_iter().chain(["store::local::Local::new"]).map(str::to_owned);
    assert_eq!(found, wanted.collect());
}

#[test]
fn circles_are_found_and_a_chain_is_none() {
    let source = |file: &str, text: &str| Source {
        file: file.to_owned(),
        text: text.to_owned(),
        imports: imports(file, text),
    };
    let chain = [source("a.rs", "use crate::b::X;"), source("b.rs", "use crate::c::X;"), source("c.rs", "")];
    assert_eq!(circles(&graph(&chain)), [] as [BTreeSet<String>; 0]);
    let facade =
        [source("m/mod.rs", "mod c;\npub use c::X;\npub struct Y;"), source("m/c.rs", "use super::Y;")];
    assert_eq!(circles(&graph(&facade)).len(), 1, "mod.rs defines what its child uses");
}

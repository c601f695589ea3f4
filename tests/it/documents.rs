// SPDX-License-Identifier: Apache-2.0
//! The documents as code: what they say of options, keys, exit codes, checks and fields is what the program has.
//!
//! A test that fails here names the document that was forgotten. Words are free; names and numbers are not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use k3s_snapshot::cli;
use k3s_snapshot::config::options::OPTIONS;
use k3s_snapshot::config::retention;
use k3s_snapshot::error::Kind;
use k3s_snapshot::inspect::Check;
use k3s_snapshot::model::event;
use k3s_snapshot::model::report::{Report, Row};
use k3s_snapshot::model::restore::PriorState;
use k3s_snapshot::model::restore_report::Restore;
use k3s_snapshot::model::snapshot::{Manifest, Snapshot, State};
use serde_json::{Value, json};

use crate::support::require::{self, require};

const OVERVIEW: &str = "man/k3s-snapshot.7";
const CONF: &str = "man/k3s-snapshot.conf.5";
const GENERATOR: &str = "man/k3s-snapshot-generator.8";
const VERSION: &str = env!("CARGO_PKG_VERSION");

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{file}: {e}"))
}

fn pages() -> Vec<String> {
    let verbs = cli::commands().into_iter().map(|c| page_of(&c));
    [OVERVIEW, CONF, GENERATOR].map(str::to_owned).into_iter().chain(verbs).collect()
}

fn page_of(command: &clap::Command) -> String {
    format!("man/{}.8", command.get_name())
}

/// What stands between a line and the next one that begins with `end`.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(&format!("\n{start}\n")).unwrap_or_else(|| panic!("no {start:?}"));
    rest.split_once(&format!("\n{end}")).map_or(rest, |(part, _)| part)
}

/// The items of lists in mdoc whose tag begins with this macro, without it.
fn items<'a>(text: &'a str, tag: &str) -> Vec<&'a str> {
    text.lines().filter_map(|l| l.strip_prefix(".It ")?.strip_prefix(tag)?.strip_prefix(' ')).collect()
}

#[track_caller]
fn same<T: Ord + std::fmt::Debug>(page: &str, document: BTreeSet<T>, program: BTreeSet<T>) {
    let unknown: Vec<&T> = document.difference(&program).collect();
    let missing: Vec<&T> = program.difference(&document).collect();
    assert!(unknown.is_empty() && missing.is_empty(), "{page} lacks {missing:?} and invents {unknown:?}");
}

/// `--long`, its aliases and `-s` of all options of a verb.
fn options(command: &clap::Command) -> BTreeSet<String> {
    let mut command = command.clone();
    command.build();
    let mut all = BTreeSet::new();
    for arg in command.get_arguments() {
        all.extend(arg.get_short().map(|s| format!("-{s}")));
        all.extend(arg.get_long().map(|l| format!("--{l}")));
        all.extend(arg.get_all_aliases().unwrap_or_default().iter().map(|a| format!("--{a}")));
    }
    all
}

/// `Fl Fl data-dir Ar dir` or `Fl d` as it is typed.
fn flag(mdoc: &str) -> Option<String> {
    let words: Vec<&str> = mdoc.split(' ').collect();
    match words[..] {
        ["Fl", "Fl", long, ..] => Some(format!("--{long}")),
        ["Fl", short, ..] => Some(format!("-{short}")),
        _ => None,
    }
}

#[test]
fn every_option_has_its_paragraph() {
    let mut all = BTreeSet::new();
    for command in cli::commands() {
        let page = page_of(&command);
        let text = read(&page);
        let tags = text.lines().filter_map(|l| l.strip_prefix(".It Fl "));
        let found = tags.flat_map(|t| format!("Fl {t}").split(" , ").filter_map(flag).collect::<Vec<_>>());
        same(&page, found.collect(), options(&command));
        all.extend(options(&command));
    }
    for page in pages() {
        for rest in read(&page).split("Fl Fl ").skip(1) {
            let name = format!("--{}", rest.split([' ', '\n']).next().unwrap());
            assert!(all.contains(&name), "{page} speaks of {name}");
        }
    }
}

#[test]
fn common_options_read_the_same_in_every_page() {
    let blocks: BTreeSet<String> = cli::commands()
        .iter()
        .map(|c| between(&read(&page_of(c)), ".Ss Common options", ".Sh ").to_owned())
        .collect();
    assert_eq!(blocks.len(), 1);
}

#[test]
fn every_key_has_its_names_its_variables_and_its_default() {
    let text = read(CONF);
    let mut blocks: BTreeMap<&str, &str> = BTreeMap::new();
    for block in between(&text, ".Sh OPTIONS", ".Sh ").split("\n.It Ic ").skip(1) {
        let (name, rest) = block.split_once('\n').unwrap();
        assert!(blocks.insert(name, rest).is_none(), "{name} twice");
    }
    same(CONF, blocks.keys().copied().collect(), OPTIONS.iter().map(|k| k.name).collect());
    for key in OPTIONS {
        let field = |tag: &str| {
            let at = blocks[key.name].split_once(&format!(".It {tag}\n"));
            at.map_or("", |(_, rest)| rest.split("\n.").next().unwrap())
        };
        let words = |tag: &str| -> Vec<String> {
            let line = field(tag).trim_start_matches(".Ic ").trim_start_matches(".Ev ");
            line.split(" , ").filter(|w| !["", "none"].contains(w)).map(str::to_owned).collect()
        };
        assert_eq!(words("Alias"), key.aliases, "{}", key.name);
        assert_eq!(words("K3s"), key.k3s, "{}", key.name);
        let env =
            key.is_ours.then(|| key.env()).into_iter().chain(key.k3s_env.iter().map(|e| (*e).to_owned()));
        assert_eq!(words("Environment"), env.collect::<Vec<_>>(), "{}", key.name);
        let default = field("Default");
        assert!(
            !default.is_empty() && key.default.is_none_or(|d| default.ends_with(d)),
            "{}: {default}",
            key.name
        );
    }
}

#[test]
fn every_option_of_a_base_is_told() {
    let text = read(CONF);
    let part = between(&text, ".Ss The retention of a base", ".Ss ");
    let told = part.lines().filter_map(|l| l.strip_prefix(".Ic ")).flat_map(|l| l.split(" , "));
    let told = told.map(|w| w.trim_end_matches(" ,")).filter(|w| !["retention", "keep-*"].contains(w));
    same(CONF, told.collect(), retention::names_of_bases().into_iter().collect());
}

/// Code, word and sentence of each row.
type Codes = Vec<(u8, String, String)>;

fn codes_of_the_overview() -> Codes {
    let text = read(OVERVIEW);
    let row = |row: &str| {
        let (head, sentence) = row.split_once('\n').unwrap();
        let (code, word) = head.split_once(' ').unwrap();
        (code.parse().unwrap(), word.to_owned(), sentence.trim_end_matches("\n.El").to_owned())
    };
    between(&text, ".Sh EXIT STATUS", ".Sh ").split("\n.It Sy ").skip(1).map(row).collect()
}

fn codes_of_the_readme() -> Codes {
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, code, word, sentence, _] = cells[..] else { return None };
        Some((code.parse().ok()?, word.to_owned(), sentence.to_owned()))
    };
    read("README.md").lines().filter_map(row).collect()
}

#[test]
fn exit_codes_are_the_same_everywhere() {
    let mut known = vec![(0, "done")];
    known.extend(Kind::ALL.iter().map(|k| (k.exit_code(), k.as_str())));
    let overview = codes_of_the_overview();
    let names: Vec<(u8, &str)> = overview.iter().map(|(code, word, _)| (*code, word.as_str())).collect();
    assert_eq!(names, known, "{OVERVIEW}");
    assert_eq!(codes_of_the_readme(), overview, "README.md and {OVERVIEW}");
    for command in cli::commands() {
        let page = page_of(&command);
        let text = read(&page);
        let told =
            items(between(&text, ".Sh EXIT STATUS", ".Sh "), "Sy").into_iter().map(|c| c.parse().unwrap());
        let help = command.get_after_help().unwrap().to_string();
        let (_, help) = help.split_once("Exit codes:").unwrap();
        let first = |clause: &str| clause.split_whitespace().next().and_then(|w| w.parse::<u8>().ok());
        let helped: BTreeSet<u8> = help.split(';').filter_map(first).collect();
        assert!(helped.iter().all(|code| known.iter().any(|(k, _)| k == code)), "--help for {page}");
        same(&page, told.collect(), helped);
    }
}

#[test]
fn every_check_is_explained() {
    let page = "man/k3s-snapshot-verify.8";
    let text = read(page);
    let told = items(between(&text, ".Sh CHECKS", ".Sh "), "Ic");
    same(page, told.into_iter().collect(), Check::ALL.iter().map(|c| c.as_str()).collect());
}

/// The fields of an object, those of objects in it behind a dot.
fn fields(value: &Value, before: &str, all: &mut BTreeSet<String>) {
    for (name, value) in value.as_object().unwrap() {
        let name = format!("{before}{name}");
        match value {
            Value::Object(_) => fields(value, &format!("{name}."), all),
            _ => drop(all.insert(name)),
        }
    }
}

fn manifest(recency: Value) -> Manifest {
    let sha = "00".repeat(32);
    serde_json::from_value(json!({
        "version": 1, "name": "n", "folder": "f", "stored_sha256": sha, "expected_sha256": sha, "plain_sha256": sha, "plain_size": 1,
        "file": {"dev": 1, "ino": 1, "size": 1, "mtime_ns": 1, "ctime_ns": 1},
        "revision": 1, "entries": 1, "checked_at": 1, "recency": recency,
    }))
    .unwrap()
}

#[test]
fn every_field_of_report_row_and_manifest_is_described() {
    let mut report = Report::new(k3s_snapshot::model::command::Command::Save, 0);
    report.skip("w");
    report.step = Some("s".into());
    report.fail(&k3s_snapshot::error::Fault::new(k3s_snapshot::error::Code::Locked, "m").hint("h").into());
    let mut program = [BTreeSet::new(), BTreeSet::new(), BTreeSet::new(), BTreeSet::new()];
    let restore = Restore::new("k3s.service", String::new(), PriorState::Running);
    fields(&serde_json::to_value(restore).unwrap(), "", &mut program[3]);
    fields(&serde_json::to_value(report).unwrap(), "", &mut program[0]);
    for recency in [json!({"state": "current", "asked": 1}), json!({"state": "unproven", "why": "w"})] {
        let manifest = manifest(recency);
        fields(&serde_json::to_value(&manifest).unwrap(), "", &mut program[2]);
        let (file, location) = (String::new(), String::new());
        let snapshot = Snapshot {
            file,
            name: None,
            location,
            size: 1,
            created_at: 1,
            state: State::Verified,
            manifest: Some(manifest),
            key_revisions: None,
        };
        fields(&serde_json::to_value(Row::from_snapshot(&snapshot, None)).unwrap(), "", &mut program[1]);
    }
    let text = read(OVERVIEW);
    let parts = [
        (".Sh REPORT FORMAT", ".Ss "),
        (".Ss Rows", ".Sh "),
        (".Sh MANIFEST FORMAT", ".Sh "),
        (".Ss Restores", ".Ss "),
    ];
    for ((start, end), program) in parts.into_iter().zip(program) {
        let told = items(between(&text, start, end), "Va").into_iter().map(str::to_owned);
        same(&format!("{OVERVIEW}, {start}"), told.collect(), program);
    }
}

#[test]
fn every_event_is_explained_in_the_catalog_and_listed_with_its_fields() {
    let ids: BTreeSet<(&str, &str)> = event::IDS.iter().copied().collect();
    let overview = read(OVERVIEW);
    let journal = between(&overview, ".Sh JOURNAL", ".Sh ");
    let rows = items(journal, "Cm").into_iter().filter_map(|row| row.split_once(" Ta Li "));
    same(OVERVIEW, rows.collect(), ids.clone());
    same(OVERVIEW, items(journal, "Va").into_iter().collect(), event::FIELDS.iter().copied().collect());
    let catalog = read("systemd/k3s-snapshot.catalog");
    let mut explained = BTreeSet::new();
    for part in catalog.split("\n-- ").skip(1) {
        let (id, text) = part.split_once('\n').unwrap();
        let (head, body) = text.split_once("\n\n").unwrap();
        assert!(
            ["Subject: ", "Defined-By: ", "Documentation: man:"].iter().all(|h| head.contains(h)),
            "{id}"
        );
        assert!(body.contains("Next"), "{id}: no next step");
        explained.insert(id);
        for word in text.split('@').skip(1).step_by(2) {
            assert!(event::FIELDS.contains(&word), "{id} shows @{word}@");
        }
    }
    same("the catalog", explained, ids.iter().map(|(_, id)| *id).collect());
}

#[test]
fn commands_for_contributors_are_targets_and_ci_runs_the_same() {
    let makefile = read("Makefile");
    for file in ["README.md", "CONTRIBUTING.md"] {
        let text = read(file);
        for (at, make) in text.match_indices("make ") {
            if !text[..at].ends_with(['`', '\n']) {
                continue;
            }
            let target = text[at + make.len()..].split(['`', '\n', ' ']).next().unwrap();
            assert!(makefile.contains(&format!("\n{target}:")), "{file} says make {target}");
        }
    }
    let readme = read("README.md");
    assert!(["make demo", "make test", "make release"].iter().all(|c| readme.contains(c)));
    assert!(read(".ci/run").contains("make test"));
}

#[test]
fn examples_are_command_lines_that_are_understood() {
    let mut seen = 0;
    for file in pages().into_iter().chain(["README.md".to_owned()]) {
        for (_, example) in read(&file).lines().filter_map(|l| l.split_once("# k3s-snapshot-")) {
            let words = example.split_whitespace().take_while(|w| !["|", ">/dev/null"].contains(w));
            let words: Vec<String> = format!("k3s-snapshot-{}", words.collect::<Vec<_>>().join(" "))
                .split(' ')
                .map(str::to_owned)
                .collect();
            let command = cli::commands().into_iter().find(|c| c.get_name() == words[0]);
            let command = command.unwrap_or_else(|| panic!("{file}: {example}"));
            command.try_get_matches_from(&words).unwrap_or_else(|e| panic!("{file}: {example}: {e}"));
            seen += 1;
        }
    }
    assert!(seen > 10, "examples are no longer found");
}

#[test]
fn help_fits_into_100_columns() {
    for command in cli::commands() {
        let by_hand = command.get_after_help().unwrap().to_string();
        let mut command = command.term_width(100);
        let wrapped = [command.render_help().to_string(), command.render_long_help().to_string()];
        for line in wrapped.iter().chain([&by_hand]).flat_map(|t| t.lines()) {
            assert!(line.chars().count() <= 100, "{}: {line}", command.get_name());
        }
    }
}

#[test]
fn every_document_is_of_this_version() {
    for page in pages() {
        assert!(read(&page).contains(&format!("\n.Os k3s-snapshot {VERSION}\n")), "{page}");
    }
    let changelog = read("CHANGELOG.md");
    let newest = changelog.lines().find_map(|l| l.strip_prefix("## ")).unwrap();
    assert_eq!(newest.split(' ').next(), Some(VERSION), "CHANGELOG.md");
}

#[test]
fn the_map_for_contributors_shows_every_room() {
    let text = read("CONTRIBUTING.md");
    let map = between(&text, "```text", "```");
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap() {
        let entry = entry.unwrap();
        let slash = if entry.path().is_dir() { "/" } else { "" };
        let name = format!("{}{slash}", entry.file_name().display());
        assert!(map.lines().any(|l| l.split_whitespace().next() == Some(&name)), "src/{name} is not on it");
    }
    for path in text.split('`').filter(|t| ["src/", "tests/", "man/"].iter().any(|d| t.starts_with(d))) {
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(path).exists(), "CONTRIBUTING.md names {path}");
    }
}

#[test]
fn the_pages_are_sound_mdoc() {
    let mandoc = require!(require::program("mandoc"));
    for page in pages() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&page);
        let out = Command::new(&mandoc).args(["-Tlint", "-W", "warning"]).arg(path).output().unwrap();
        assert!(
            out.status.success() && out.stdout.is_empty(),
            "{page}: {}",
            String::from_utf8_lossy(&out.stdout)
        );
    }
}

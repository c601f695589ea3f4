// SPDX-License-Identifier: Apache-2.0
//! The documents as code: options, settings, exit codes, checks, journal fields and examples in the documents are those of
//! the program. Fields and codes of the report are in `report_format.rs`, words in `language.rs`.
//!
//! A test that fails here names the document that must be changed. Texts are free; names and numbers are not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use k3s_snapshot::app::dispatch::command_line;
use k3s_snapshot::config::options::OPTIONS;
use k3s_snapshot::config::retention;
use k3s_snapshot::error::Kind;
use k3s_snapshot::inspect::Check;
use k3s_snapshot::model::event;

use crate::report_format::{REPORT_FORMAT, tables};
use crate::support::require::{self, require};

const OVERVIEW: &str = "man/k3s-snapshot.8";
const CONCEPTS: &str = "man/k3s-snapshot.7";
const CONF: &str = "man/k3s-snapshot.conf.5";
const GENERATOR: &str = "man/k3s-snapshot-generator.8";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The headings of the options that conf.5 describes for all commands.
const SHARED: [&str; 2] = ["Common options", "S3 options"];

pub(crate) fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

pub(crate) fn read(file: &str) -> String {
    std::fs::read_to_string(path(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// The files below a directory with this extension, as paths from the top of the tree, sorted.
pub(crate) fn files_below(directory: &str, extension: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path(directory)).unwrap_or_else(|e| panic!("{directory}: {e}")) {
        let name = format!("{directory}/{}", entry.unwrap().file_name().to_str().unwrap());
        if path(&name).is_dir() {
            found.extend(files_below(&name, extension));
        } else if name.ends_with(extension) {
            found.push(name);
        }
    }
    found.sort();
    found
}

fn pages() -> Vec<String> {
    files_below("man", "")
}

/// Every document in Markdown.
pub(crate) fn markdown() -> Vec<String> {
    let top = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"].map(str::to_owned);
    files_below("docs", ".md").into_iter().chain(top).collect()
}

/// The commands with all that clap adds to them.
fn commands() -> Vec<clap::Command> {
    let mut root = command_line();
    root.build();
    root.get_subcommands().filter(|c| c.get_name() != "help").cloned().collect()
}

fn page_of(command: &clap::Command) -> String {
    format!("man/k3s-snapshot-{}.8", command.get_name())
}

/// The text between a line and the next line that begins with `end`.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(&format!("\n{start}\n")).unwrap_or_else(|| panic!("no {start:?}"));
    rest.split_once(&format!("\n{end}")).map_or(rest, |(part, _)| part)
}

/// The tags of list items in mdoc that begin with this macro, without the macro.
fn items<'a>(text: &'a str, tag: &str) -> Vec<&'a str> {
    let tags = text.lines().filter_map(|l| l.strip_prefix(".It "));
    tags.filter_map(|l| l.strip_prefix(tag)?.strip_prefix(' ')).collect()
}

#[track_caller]
pub(crate) fn same<T: Ord + std::fmt::Debug>(document: &str, described: BTreeSet<T>, program: BTreeSet<T>) {
    let unknown: Vec<&T> = described.difference(&program).collect();
    let missing: Vec<&T> = program.difference(&described).collect();
    assert!(unknown.is_empty() && missing.is_empty(), "{document}: missing {missing:?}, unknown {unknown:?}");
}

/// The spellings of an option: `--long`, its aliases and `-s`.
fn spellings(arg: &clap::Arg) -> Vec<String> {
    let mut all: Vec<String> = arg.get_short().map(|s| format!("-{s}")).into_iter().collect();
    all.extend(arg.get_long().map(|l| format!("--{l}")));
    all.extend(arg.get_all_aliases().unwrap_or_default().iter().map(|a| format!("--{a}")));
    all
}

fn is_shared(arg: &clap::Arg) -> bool {
    arg.get_help_heading().is_some_and(|h| SHARED.contains(&h)) || is_built_in(arg)
}

/// `--help` and `--version`.
fn is_built_in(arg: &clap::Arg) -> bool {
    ["help", "version"].contains(&arg.get_id().as_str())
}

/// The options of the items of a list in mdoc: `.It Fl d Ar dir , Fl Fl data-dir Ar dir`.
fn described_options(text: &str) -> BTreeSet<String> {
    let tags = text.lines().filter_map(|l| l.strip_prefix(".It Fl "));
    let words = tags.flat_map(|tag| format!("Fl {tag}").split(" , ").map(str::to_owned).collect::<Vec<_>>());
    words.filter_map(|words| option_in(&words)).collect()
}

/// `Fl Fl data-dir Ar dir` or `Fl d` as it is typed.
fn option_in(mdoc: &str) -> Option<String> {
    match mdoc.split(' ').collect::<Vec<_>>()[..] {
        ["Fl", "Fl", long, ..] => Some(format!("--{long}")),
        ["Fl", short, ..] => Some(format!("-{short}")),
        _ => None,
    }
}

#[test]
fn every_own_option_of_a_command_is_in_its_page() {
    for command in commands() {
        let page = page_of(&command);
        let text = read(&page);
        let own = command.get_arguments().filter(|a| !is_shared(a)).flat_map(spellings).collect();
        same(&page, described_options(between(&text, ".Sh OPTIONS", ".Sh ")), own);
    }
}

#[test]
fn every_common_and_s3_option_is_in_the_page_of_the_configuration() {
    let shared = |command: &clap::Command| -> BTreeSet<String> {
        command.get_arguments().filter(|a| is_shared(a)).flat_map(spellings).collect()
    };
    let of_commands: BTreeSet<BTreeSet<String>> = commands().iter().map(shared).collect();
    assert_eq!(of_commands.len(), 1, "every command has the same common and S3 options");
    let text = read(CONF);
    let mut described = described_options(between(&text, ".Sh COMMAND-LINE OPTIONS", ".Sh "));
    for section in [".Ss Directories, files and service", ".Ss S3 bucket"] {
        for name in items(between(&text, section, ".S"), "Ic") {
            let option = OPTIONS.iter().find(|o| o.name == name).unwrap_or_else(|| panic!("{CONF}: {name}"));
            if option.is_ours {
                described.insert(format!("--{name}"));
                described.extend(option.aliases.iter().map(|a| format!("--{a}")));
            }
        }
    }
    same(CONF, described, of_commands.into_iter().next().unwrap());
}

#[test]
fn pages_name_only_options_that_exist() {
    let known: BTreeSet<String> =
        commands().iter().flat_map(|c| c.get_arguments().flat_map(spellings)).collect();
    for page in pages() {
        for rest in read(&page).split("Fl Fl ").skip(1) {
            let name = format!("--{}", rest.split([' ', '\n']).next().unwrap());
            assert!(known.contains(&name), "{page} names {name}");
        }
    }
}

#[test]
fn every_setting_is_described_with_its_names_variables_and_default() {
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
        let fits = !default.is_empty() && key.default.is_none_or(|d| default.ends_with(d));
        assert!(fits, "{}: default {default}", key.name);
    }
}

#[test]
fn every_setting_of_a_base_name_is_described() {
    let text = read(CONF);
    let part = between(&text, ".Ss Retention per base name", ".Ss ");
    let named = part.lines().filter_map(|l| l.strip_prefix(".Ic ")).flat_map(|l| l.split(" , "));
    let named = named.map(|w| w.trim_end_matches(" ,")).filter(|w| !["retention", "keep-*"].contains(w));
    same(CONF, named.collect(), retention::names_of_bases().into_iter().collect());
}

/// Code, word and sentence of each exit code in the page of the concepts.
fn exit_codes_of_the_page() -> Vec<(u8, String, String)> {
    let text = read(CONCEPTS);
    let row = |row: &str| {
        let (head, sentence) = row.split_once('\n').unwrap();
        let (code, word) = head.split_once(' ').unwrap();
        (code.parse().unwrap(), word.to_owned(), sentence.trim_end_matches("\n.El").to_owned())
    };
    between(&text, ".Sh EXIT STATUS", ".Sh ").split("\n.It Sy ").skip(1).map(row).collect()
}

#[test]
fn exit_codes_are_the_same_in_the_page_the_report_format_and_the_program() {
    let mut known = vec![(0, "done")];
    known.extend(Kind::ALL.iter().map(|k| (k.exit_code(), k.as_str())));
    let of_page = exit_codes_of_the_page();
    let named: Vec<(u8, &str)> = of_page.iter().map(|(code, word, _)| (*code, word.as_str())).collect();
    assert_eq!(named, known, "{CONCEPTS}");
    let text = read(REPORT_FORMAT);
    let tables = tables(&text);
    let of_document = tables["Exit codes"].iter().map(|row| {
        let [code, word, meaning] = &row[..] else { panic!("{row:?}") };
        (code.parse().unwrap(), word.clone(), meaning.clone())
    });
    assert_eq!(of_document.collect::<Vec<(u8, String, String)>>(), of_page, "{REPORT_FORMAT} and {CONCEPTS}");
}

#[test]
fn exit_codes_of_a_command_are_in_its_page_and_known() {
    for command in commands() {
        let page = page_of(&command);
        let text = read(&page);
        let described = items(between(&text, ".Sh EXIT STATUS", ".Sh "), "Sy");
        let described: BTreeSet<u8> = described.into_iter().map(|c| c.parse().unwrap()).collect();
        let known = |code: &u8| *code == 0 || Kind::ALL.iter().any(|k| k.exit_code() == *code);
        assert!(described.iter().all(known), "{page}: {described:?}");
        let help = command.get_after_help().unwrap().to_string();
        let (_, help) = help.split_once("Exit codes:").unwrap();
        let first = |clause: &str| clause.split_whitespace().next().and_then(|w| w.parse::<u8>().ok());
        for code in help.split(';').filter_map(first) {
            assert!(described.contains(&code), "--help has the exit code {code}, {page} has not");
        }
    }
}

#[test]
fn every_check_of_a_snapshot_is_described() {
    let page = "man/k3s-snapshot-verify.8";
    let text = read(page);
    let described = items(between(&text, ".Sh CHECKS", ".Sh "), "Ic");
    same(page, described.into_iter().collect(), Check::ALL.iter().map(|c| c.as_str()).collect());
}

/// The names of the checks in the page of check-s3.
pub(crate) fn checks_of_the_bucket() -> BTreeSet<String> {
    let text = read("man/k3s-snapshot-check-s3.8");
    items(between(&text, ".Sh DESCRIPTION", ".Sh "), "Cm").into_iter().map(str::to_owned).collect()
}

#[test]
fn every_journal_event_and_field_is_described() {
    let ids: BTreeSet<(&str, &str)> = event::IDS.iter().copied().collect();
    let fields: BTreeSet<&str> = event::FIELDS.iter().copied().collect();
    let concepts = read(CONCEPTS);
    let journal = between(&concepts, ".Sh JOURNAL", ".Sh ");
    let rows = items(journal, "Cm").into_iter().filter_map(|row| row.split_once(" Ta Li "));
    same(CONCEPTS, rows.collect(), ids.clone());
    let described = items(journal, "Va").into_iter().filter(|f| f.starts_with("K3S_"));
    same(CONCEPTS, described.collect(), fields.clone());
    let text = read(REPORT_FORMAT);
    let rows = &tables(&text)["Journal"];
    let cell = |row: &[String], i: usize| row[i].trim_matches('`').to_owned();
    let (of_fields, of_ids): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row[0].starts_with("`K3S_"));
    let described = of_ids.iter().map(|row| (cell(row, 0), cell(row, 1)));
    let owned = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
    same(REPORT_FORMAT, described.collect(), ids.iter().map(owned).collect());
    let described = of_fields.iter().map(|row| cell(row, 0));
    same(REPORT_FORMAT, described.collect(), fields.iter().map(|f| (*f).to_owned()).collect());
}

#[test]
fn every_journal_event_is_explained_in_the_catalog() {
    let catalog = read("systemd/k3s-snapshot.catalog");
    let mut explained = BTreeSet::new();
    for part in catalog.split("\n-- ").skip(1) {
        let (id, text) = part.split_once('\n').unwrap();
        let (head, body) = text.split_once("\n\n").unwrap();
        let complete = ["Subject: ", "Defined-By: ", "Documentation: man:"].iter().all(|h| head.contains(h));
        assert!(complete, "{id}");
        assert!(body.contains("Next"), "{id}: no next step");
        assert!(explained.insert(id), "{id} twice");
        for word in text.split('@').skip(1).step_by(2) {
            assert!(event::FIELDS.contains(&word), "{id} uses @{word}@");
        }
    }
    same("the catalog", explained, event::IDS.iter().map(|(_, id)| *id).collect());
}

#[test]
fn make_commands_in_documents_are_targets() {
    let makefile = read("Makefile");
    for file in ["README.md", "CONTRIBUTING.md"] {
        let text = read(file);
        for (at, make) in text.match_indices("make ") {
            if !text[..at].ends_with(['`', '\n']) {
                continue;
            }
            let target = text[at + make.len()..].split(['`', '\n', ' ']).next().unwrap();
            assert!(makefile.contains(&format!("\n{target}:")), "{file} has make {target}");
        }
    }
    assert!(read(".ci/run").contains("make test"));
}

/// Every row of the table of promises names tests, and each of them exists in the file of its module.
#[test]
fn each_promise_of_the_security_policy_names_tests_that_exist() {
    let text = read("SECURITY.md");
    let rows: Vec<&str> =
        text.lines().filter(|l| l.starts_with("| ") && !l.starts_with("| Promise")).collect();
    assert!(rows.len() >= 8, "{rows:#?}");
    for row in rows {
        let cell = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let named: Vec<&str> = cell.split(", ").map(|t| t.trim_matches('`')).collect();
        for test in named {
            let (module, name) =
                test.rsplit_once("::").unwrap_or_else(|| panic!("{test}: no module in {row}"));
            let file = module.replace("::", "/");
            let places = [format!("tests/it/{file}.rs"), format!("src/{file}.rs")];
            let found = places.iter().filter(|f| path(f).is_file()).any(|f| {
                let source = read(f);
                source.contains(&format!("fn {name}(")) && source.contains("#[test]")
            });
            assert!(found, "SECURITY.md names the test {test}, which does not exist");
        }
    }
}

/// A command line, up to a pipe, a redirection or the end of the command. `None` if no command of ours is called.
fn words_of(line: &str) -> Option<Vec<String>> {
    let words = shlex::split(line)?;
    let end = ["|", "||", "&&", ";", ">", ">/dev/null", "2>&1"];
    let mut words: Vec<String> = words.into_iter().take_while(|w| !end.contains(&w.as_str())).collect();
    // The links are the same as the commands.
    if let Some(command) = words[0].strip_prefix("k3s-snapshot-").map(str::to_owned) {
        words.splice(..1, ["k3s-snapshot".to_owned(), command]);
    }
    (words.len() > 1).then_some(words)
}

#[track_caller]
fn parses(whence: &str, line: &str) -> bool {
    let Some(words) = words_of(line) else { return false };
    if words.iter().any(|w| ["COMMAND", "..."].contains(&w.as_str())) {
        return false;
    }
    // `help`, `--help` and `--version` end with what clap calls an error of its own.
    let parsed = match &words[..] {
        // The name of a command, not a whole command line.
        [_, name] if command_line().find_subcommand(name).is_some() => return true,
        words => command_line().try_get_matches_from(words),
    };
    let shown = parsed.as_ref().is_err_and(|e| !e.use_stderr());
    assert!(parsed.is_ok() || shown, "{whence}: {line}: {}", parsed.unwrap_err());
    true
}

/// The text with lines that end in a backslash joined with the next line.
fn joined(text: &str) -> String {
    text.replace("\\e\n", "").replace("\\\n", "")
}

#[test]
fn examples_in_pages_are_valid_command_lines() {
    let mut seen = 0;
    for page in pages() {
        let text = joined(&read(&page));
        for line in text.lines() {
            let example = line.trim_start_matches(".Dl ").strip_prefix("# ");
            let quoted = line.strip_prefix(".Ql ").map(|l| l.trim_end_matches([' ', '.', ',', ':', ';']));
            let command = example.or(quoted).filter(|l| l.starts_with("k3s-snapshot "));
            seen += usize::from(command.is_some_and(|c| parses(&page, c)));
        }
    }
    assert!(seen > 30, "only {seen} examples were found");
}

#[test]
fn examples_in_documents_are_valid_command_lines() {
    let mut seen = 0;
    for file in markdown() {
        let text = joined(&read(&file));
        for (i, part) in text.split("```").enumerate() {
            // Odd parts are code; in the others, a command is between backticks.
            if i % 2 == 1 {
                let lines = part.lines().map(|l| l.trim().trim_start_matches("# "));
                seen += lines.filter(|l| l.starts_with("k3s-snapshot ") && parses(&file, l)).count();
            } else {
                let code = part.split('`').skip(1).step_by(2).map(|c| c.trim_start_matches("sudo "));
                seen += code.filter(|c| c.starts_with("k3s-snapshot ") && parses(&file, c)).count();
            }
        }
    }
    assert!(seen > 60, "only {seen} examples were found");
}

/// A hint is a command to type: it must exist.
#[test]
fn commands_in_messages_units_and_help_are_valid_command_lines() {
    let mut seen = 0;
    for file in files_below("src", ".rs") {
        for line in read(&file).lines().filter(|l| !l.trim_start().starts_with("//")) {
            for quoted in line.split('\'').skip(1).step_by(2).filter(|q| q.starts_with("k3s-snapshot ")) {
                let text = quoted.split('{').enumerate().map(|(i, part)| match part.split_once('}') {
                    Some((_, rest)) if i > 0 => format!("X{rest}"),
                    _ => part.to_owned(),
                });
                seen += usize::from(parses(&file, &text.collect::<String>()));
            }
        }
    }
    for command in commands() {
        let help = command.get_after_help().unwrap().to_string();
        let examples = help.lines().filter_map(|l| l.strip_prefix("  k3s-snapshot "));
        for example in examples {
            // The explanation is separated by two blanks.
            let line = format!("k3s-snapshot {}", example.split("  ").next().unwrap());
            seen += usize::from(parses("--help", &line));
        }
    }
    for unit in files_below("systemd", ".service") {
        let lines = joined(&read(&unit));
        let lines = lines.lines().filter_map(|l| l.strip_prefix("Exec")?.split_once("=/usr/bin/"));
        for (_, line) in lines.filter(|(_, l)| l.starts_with("k3s-snapshot")) {
            seen += usize::from(parses(&unit, &line.replace("%I", "NAME").replace("${MAX_AGE}", "25h")));
        }
    }
    assert!(seen > 40, "only {seen} commands were found");
}

#[test]
fn help_fits_into_100_columns() {
    for command in commands() {
        let examples = command.get_after_help().unwrap().to_string();
        let mut command = command.term_width(100);
        let wrapped = [command.render_help().to_string(), command.render_long_help().to_string()];
        for line in wrapped.iter().chain([&examples]).flat_map(|t| t.lines()) {
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
fn every_command_has_a_page() {
    let mut wanted: BTreeSet<String> = commands().iter().map(page_of).collect();
    wanted.extend([OVERVIEW, CONCEPTS, CONF, GENERATOR].map(str::to_owned));
    same("man/", pages().into_iter().collect(), wanted);
    let text = read(OVERVIEW);
    let described =
        items(between(&text, ".Sh DESCRIPTION", ".Sh "), "Cm").into_iter().filter(|c| *c != "help");
    same(
        OVERVIEW,
        described.map(str::to_owned).collect(),
        commands().iter().map(|c| c.get_name().into()).collect(),
    );
}

/// The anchor that a heading in Markdown has.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn links_between_documents_lead_to_a_file_and_a_heading() {
    let anchors = |file: &str| -> BTreeSet<String> {
        let text = read(file);
        text.lines()
            .filter(|l| l.starts_with('#'))
            .map(|l| anchor(l.trim_start_matches('#').trim()))
            .collect()
    };
    let mut seen = 0;
    for file in markdown() {
        for link in read(&file).split("](").skip(1) {
            let link = link.split(')').next().unwrap();
            if link.contains("://") {
                continue;
            }
            let (target, heading) = link.split_once('#').map_or((link, None), |(t, h)| (t, Some(h)));
            let target = match (target, file.rsplit_once('/')) {
                ("", _) => file.clone(),
                (target, Some((directory, _))) => simplified(&format!("{directory}/{target}")),
                (target, None) => target.to_owned(),
            };
            assert!(path(&target).exists(), "{file} links to {link}");
            assert!(heading.is_none_or(|h| anchors(&target).contains(h)), "{file} links to {link}");
            seen += 1;
        }
    }
    assert!(seen > 30, "only {seen} links were found");
}

/// `docs/design/../s3.md` without the `..`.
fn simplified(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[test]
fn pages_that_are_named_exist() {
    let exists = |whence: &str, name: &str, section: &str| {
        assert!(path(&format!("man/{name}.{section}")).exists(), "{whence} names {name}({section})");
    };
    for page in pages() {
        for (name, section) in
            read(&page).lines().filter_map(|l| l.strip_prefix(".Xr k3s-snapshot")?.split_once(' '))
        {
            exists(&page, &format!("k3s-snapshot{name}"), &section[..1]);
        }
    }
    let help = commands().into_iter().map(|c| ("--help".to_owned(), c.get_after_help().unwrap().to_string()));
    let sources = files_below("src", ".rs").into_iter().chain(markdown()).map(|f| (f.clone(), read(&f)));
    for (whence, text) in help.chain(sources) {
        for rest in text.split("k3s-snapshot").skip(1) {
            let end =
                rest.find(|c: char| !(c.is_ascii_alphanumeric() || "-.".contains(c))).unwrap_or(rest.len());
            let (name, rest) = rest.split_at(end);
            if let Some(section) = rest.strip_prefix('(').filter(|r| r.get(1..2) == Some(")")) {
                exists(&whence, &format!("k3s-snapshot{name}"), &section[..1]);
            }
        }
    }
}

#[test]
fn the_source_tree_in_contributing_has_every_entry_of_src() {
    let text = read("CONTRIBUTING.md");
    let map = between(&text, "```text", "```");
    for entry in std::fs::read_dir(path("src")).unwrap() {
        let entry = entry.unwrap();
        let slash = if entry.path().is_dir() { "/" } else { "" };
        let name = format!("{}{slash}", entry.file_name().display());
        assert!(map.lines().any(|l| l.split_whitespace().next() == Some(&name)), "src/{name} is missing");
    }
    let ours = ["src/", "tests/", "man/", "scripts/", "benches/"];
    for named in text.split('`').filter(|t| ours.iter().any(|d| t.starts_with(d))) {
        assert!(path(named).exists(), "CONTRIBUTING.md names {named}");
    }
}

#[test]
fn pages_are_valid_mdoc() {
    let mandoc = require!(require::program("mandoc"));
    for page in pages() {
        let out = Command::new(&mandoc).args(["-Tlint", "-W", "warning"]).arg(path(&page)).output().unwrap();
        let printed = String::from_utf8_lossy(&out.stdout);
        assert!(out.status.success() && printed.is_empty(), "{page}: {printed}");
    }
}

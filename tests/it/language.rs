// SPDX-License-Identifier: Apache-2.0
//! One word for each concept, see docs/glossary.md: retired words, and conditions that begin with "Where", fail here with
//! the word to use. Every text of the tree is read: documents, manual pages, units, packages, scripts, and the comments and
//! string literals of source and tests. `make lint` runs these tests.

use std::collections::BTreeSet;

use k3s_snapshot::app::dispatch::command_line;

use crate::documents::path;
use crate::support::rust_source::{Kind, Piece, pieces};

/// Retired words and phrases, and what to write instead.
const RETIRED: &[(&[&str], &str)] = &[
    (&["folder", "folders"], "directory; prefix in a bucket"),
    (
        &["proven", "prove", "proves", "proved", "proving", "proof", "proofs"],
        "verified, verify, verification",
    ),
    (&["unproven"], "unknown, unverified"),
    (&["unchecked"], "unverified"),
    (&["bad", "damaged"], "corrupt"),
    (&["recency"], "freshness"),
    (&["verdict", "verdicts"], "state, result; action of prune"),
    (&["judge", "judged", "judges", "judging", "judgement"], "apply the retention policy, decide"),
    (&["doomed"], "to be deleted"),
    (&["deed", "deeds"], "operation"),
    (&["verb", "verbs"], "command"),
    (&["owed", "debt", "debts", "forgive", "forgiven"], "pending upload"),
    (&["gate", "barred", "bars", "unbar"], "block, start block"),
    (&["way back", "put back", "puts back", "bring back", "brings back", "brought back"], "roll back"),
    (&["said", "told"], "set, configured; reported, printed"),
    (&["heed", "heeds", "heeded"], "honored, used"),
    (&["lies", "stands"], "is, is in, is stored in"),
    (&["beside"], "next to, in addition to"),
    (
        &["nobody", "somebody", "anybody", "everybody", "whoever"],
        "the actor: etcd, another process, the administrator",
    ),
    (&["anew", "once more"], "again; retry"),
    (&["amid"], "during"),
    (&["besides"], "also"),
    (&["for ever"], "forever"),
    (&["all the same"], "anyway"),
    (&["rightly"], "by design"),
    (&["meanwhile"], "in the meantime, or nothing"),
    (&["makes no sense", "make sense of", "makes sense"], "is not valid"),
    (&["shut in"], "sandboxed"),
    (&["cry wolf"], "report what is not there"),
    (&["riddle"], "a plain word"),
];

/// Retired words that are right in one place: the beginning of the file's path, a part of the line, and the reason.
const PROPER: &[(&str, &str, &str)] = &[
    ("", "s3-folder", "the option has the name of K3s"),
    ("", "S3_FOLDER", "the option has the name of K3s"),
    ("src/config/", "folder", "the option has the name of K3s"),
    ("src/host/systemd/", "bad-setting", "a load state of systemd"),
    ("src/source/etcd/error.rs", "bad certificate", "a text of the TLS library"),
    ("tests/it/support/front.rs", "400 Bad Request", "a status of HTTP"),
    ("tests/it/systemd.rs", "nobody", "the name of a user"),
    ("tests/host/ask-systemd", "nobody", "the name of a user"),
    ("CONTRIBUTING.md", "are verbs", "a word of grammar"),
];

/// Files without texts of ours: the list of retired words, a licence, and what cargo writes.
const NOT_OURS: &[&str] = &["tests/it/language.rs", "LICENSE", "Cargo.lock", "fuzz/Cargo.lock"];

/// Directories that builds, tests and fuzzing write.
const WRITTEN: &[&str] = &["target", "corpus", "artifacts", "__pycache__"];

/// A retired word.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    file: String,
    line: usize,
    word: &'static str,
    instead: &'static str,
}

/// The retired words in a text. Words are compared without case; a dash or an underline separates words.
fn retired(text: &str) -> BTreeSet<(&'static str, &'static str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '\'';
    let words: Vec<String> =
        text.split(|c| !is_word(c)).filter(|w| !w.is_empty()).map(str::to_lowercase).collect();
    let padded = format!(" {} ", words.join(" "));
    let all = RETIRED.iter().flat_map(|(words, instead)| words.iter().map(move |word| (*word, *instead)));
    all.filter(|(word, _)| padded.contains(&format!(" {word} "))).collect()
}

/// The row of [`PROPER`] that allows a word in a line.
fn proper(file: &str, text: &str, word: &str) -> Option<usize> {
    PROPER.iter().position(|(path, part, _)| {
        file.starts_with(path) && text.contains(part) && part.to_lowercase().contains(word)
    })
}

/// The retired words in numbered lines. A phrase can be broken between two lines that follow each other.
fn findings_in(file: &str, lines: &[(usize, String)]) -> BTreeSet<Finding> {
    let finding = |line, (word, instead)| Finding { file: file.to_owned(), line, word, instead };
    let mut found = BTreeSet::new();
    for (line, text) in lines {
        let words = retired(text).into_iter().filter(|(word, _)| proper(file, text, word).is_none());
        found.extend(words.map(|word| finding(*line, word)));
    }
    for pair in lines.windows(2) {
        let [(at, first), (line, second)] = pair else { continue };
        if at + 1 == *line {
            let both = retired(&format!("{first} {second}"));
            let broken = both.into_iter().filter(|(word, _)| {
                word.contains(' ')
                    && [first, second].iter().all(|l| retired(l).iter().all(|(w, _)| w != word))
            });
            found.extend(broken.map(|word| finding(*at, word)));
        }
    }
    found
}

/// Every line of a document. The last column of the glossary has the words that are not used.
fn lines_of_document(file: &str, text: &str) -> Vec<(usize, String)> {
    let kept = |line: &str| match line.trim_end_matches('|').rsplit_once('|') {
        Some((kept, _)) if file == "docs/glossary.md" && line.starts_with('|') => kept.to_owned(),
        _ => line.to_owned(),
    };
    text.lines().enumerate().map(|(i, line)| (i + 1, kept(line))).collect()
}

/// A literal without the names of variables that it formats, such as `{folder}` or `{size:>8}`.
fn without_variables(literal: &str) -> String {
    let mut kept = String::new();
    for (i, part) in literal.split('{').enumerate() {
        let variable = part.split_once('}').filter(|(name, _)| i > 0 && !name.contains(' '));
        kept.push_str(variable.map_or(part, |(_, rest)| rest));
    }
    kept
}

/// Every line of the comments and string literals of a source file.
fn lines_of_source(text: &str) -> Vec<(usize, String)> {
    let texts = pieces(text).into_iter().filter(|p| p.kind != Kind::Code);
    let lines = |p: Piece| {
        let text = |l: &str| if p.kind == Kind::Literal { without_variables(l) } else { l.to_owned() };
        let numbered = p.text.lines().enumerate().map(|(i, l)| (p.line + i, text(l)));
        numbered.collect::<Vec<_>>()
    };
    texts.flat_map(lines).collect()
}

/// The files below a directory, as paths from the top of the tree. Hidden files are left out, but not those of `.ci`.
fn files_in(directory: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path(directory)).unwrap_or_else(|e| panic!("{directory}: {e}")) {
        let name = entry.unwrap().file_name().to_str().unwrap().to_owned();
        let full = if directory.is_empty() { name.clone() } else { format!("{directory}/{name}") };
        if WRITTEN.contains(&name.as_str()) || (name.starts_with('.') && name != ".ci") {
            continue;
        }
        match path(&full).is_dir() {
            true => found.extend(files_in(&full)),
            false => found.push(full),
        }
    }
    found
}

/// Every text file of the tree with its texts: the lines of a document or script, the comments and literals of source.
fn texts() -> Vec<(String, Vec<(usize, String)>)> {
    let files = files_in("").into_iter().filter(|file| !NOT_OURS.contains(&file.as_str()));
    let mut all: Vec<_> = files
        .filter_map(|file| {
            let text = std::fs::read_to_string(path(&file)).ok()?;
            let source = file.ends_with(".rs");
            let lines = if source { lines_of_source(&text) } else { lines_of_document(&file, &text) };
            Some((file, lines))
        })
        .collect();
    all.sort();
    all
}

/// What operators read, other than messages.
fn is_document(file: &str) -> bool {
    file.ends_with(".md") || ["man/", "systemd/", "packaging/"].iter().any(|start| file.starts_with(start))
}

fn list<'a>(found: impl IntoIterator<Item = &'a Finding>) -> String {
    let line = |f: &Finding| format!("{}:{}: '{}': write: {}", f.file, f.line, f.word, f.instead);
    found.into_iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn no_text_of_the_tree_has_a_retired_word() {
    let found: BTreeSet<Finding> =
        texts().iter().flat_map(|(file, lines)| findings_in(file, lines)).collect();
    assert!(found.is_empty(), "{}", list(&found));
}

#[test]
fn every_kind_of_text_is_read() {
    let texts = texts();
    for start in [
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "Makefile",
        "Cargo.toml",
        ".ci/run",
        "benches/",
        "completions/",
        "docs/",
        "fuzz/",
        "man/",
        "packaging/deb/",
        "packaging/rpm/",
        "scripts/",
        "src/",
        "src/cli/",
        "systemd/",
        "tests/host/",
        "tests/it/",
    ] {
        let lines: usize = texts.iter().filter(|(f, _)| f.starts_with(start)).map(|(_, l)| l.len()).sum();
        assert!(lines > 0, "no text of '{start}' was read");
    }
    let source = &texts.iter().find(|(file, _)| file == "src/error.rs").unwrap().1;
    assert!(source.iter().any(|(_, text)| text == "rollback-failed"), "literals are texts");
}

#[test]
fn every_exception_is_used() {
    let texts = texts();
    let lines = texts.iter().flat_map(|(file, lines)| lines.iter().map(move |(_, text)| (file, text)));
    let used: BTreeSet<usize> = lines
        .flat_map(|(file, text)| retired(text).into_iter().filter_map(|(word, _)| proper(file, text, word)))
        .collect();
    let unused: Vec<_> = (0..PROPER.len()).filter(|row| !used.contains(row)).map(|row| PROPER[row]).collect();
    assert!(unused.is_empty(), "remove them: {unused:?}");
}

#[test]
fn help_has_no_retired_word() {
    let mut root = command_line();
    root.build();
    let mut commands: Vec<clap::Command> = root.get_subcommands().cloned().collect();
    commands.push(root);
    for command in &mut commands {
        let help = command.render_long_help().to_string();
        assert!(help.lines().count() > 5, "{help}");
        let found = findings_in("--help", &lines_of_document("--help", &help));
        assert!(found.is_empty(), "{}: {}", command.get_name(), list(&found));
    }
}

/// "Where X, Y" for a condition: "If X, Y." A document has no sentence that begins with "Where". A comment may have one
/// for a place.
#[test]
fn no_sentence_begins_with_where_for_a_condition() {
    let mut found = Vec::new();
    for (file, lines) in texts() {
        for (i, line) in lines {
            let line = line.trim_start_matches(['#', '-', '*', '|', ' ', '!', '/']);
            if has_where(line, is_document(&file)) {
                found.push(format!("{file}:{i}: {line}"));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Whether a sentence of a line begins with "Where". If not `strict`, the sentence must look like a condition.
fn has_where(line: &str, strict: bool) -> bool {
    let begin = if line.starts_with("Where ") { Some(0) } else { line.find(". Where ").map(|at| at + 2) };
    let Some(begin) = begin else { return false };
    let sentence = line[begin..].split(". ").next().unwrap_or_default();
    // A question is not a condition.
    let question = line.ends_with('?') || line.starts_with("Where |");
    let condition = sentence.split_once(", ").is_some_and(|(_, rest)| !rest.starts_with("and "));
    !question && (strict || condition)
}

#[test]
fn lint_finds_words_and_phrases_but_not_parts_of_words() {
    let words = |text: &str| retired(text).into_iter().map(|(word, _)| word).collect::<Vec<_>>();
    assert_eq!(words("The Folder is there."), ["folder"]);
    assert_eq!(words("it goes on for ever"), ["for ever"]);
    assert!(words("badly, waterproof, a judgment, foreverness").is_empty());
    let lines =
        |texts: &[&str]| texts.iter().enumerate().map(|(i, t)| (i + 1, (*t).to_owned())).collect::<Vec<_>>();
    let found = |texts: &[&str]| {
        findings_in("README.md", &lines(texts)).into_iter().map(|f| f.line).collect::<Vec<_>>()
    };
    assert!(found(&["set `--s3-folder`"]).is_empty());
    assert_eq!(found(&["a folder"]), [1]);
    assert_eq!(found(&["nothing", "goes on for", "ever and ever"]), [2]);
    let source = lines_of_source("fn folder() {} // a comment\nlet a = \"a text\";");
    assert_eq!(source, [(1, " a comment".to_owned()), (2, "a text".to_owned())]);
    assert_eq!(without_variables("a {folder}/{at:>8} of {} in {}"), "a / of  in ");
    assert!(has_where("Where that cannot be, it is copied.", false));
    assert!(!has_where("Where the database is, and since when.", false));
    assert!(has_where("It stops. Where it stops", true) && !has_where("Where is it?", true));
}

// SPDX-License-Identifier: Apache-2.0
//! One word for each concept, see docs/glossary.md: retired words, and conditions that begin with "Where", fail here with
//! the word to use. `make lint` runs these tests.

use std::collections::BTreeSet;

use crate::documents::{files_below, markdown, read};
use crate::support::rust_source::{Kind, pieces};

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

/// Where a retired word is the right one: the beginning of the file's path, a part of the line, and why.
const PROPER: &[(&str, &str, &str)] = &[
    ("", "s3-folder", "the option has the name of K3s"),
    ("", "s3_folder", "the option has the name of K3s"),
    ("", "S3_FOLDER", "the option has the name of K3s"),
    ("src/config/", "folder", "the option has the name of K3s"),
    ("src/store/s3/", "{folder}", "the option has the name of K3s"),
    ("CONTRIBUTING.md", "are verbs", "a word of grammar"),
];

/// Source that is not in plain English yet. An entry without a finding fails, so that the list becomes shorter.
const NOT_YET: &[&str] = &[
    "src/app/",
    "src/commands/restore/",
    "src/host/",
    "src/inspect/",
    "src/model/",
    "src/source/etcd/error.rs",
];

/// A retired word.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    file: String,
    line: usize,
    word: &'static str,
    instead: &'static str,
}

/// The retired words in a text. Words are compared without case; a dash or an underline is a part of a name.
fn retired(text: &str) -> Vec<(&'static str, &'static str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '\'';
    let words: Vec<String> =
        text.split(|c| !is_word(c)).filter(|w| !w.is_empty()).map(str::to_lowercase).collect();
    let padded = format!(" {} ", words.join(" "));
    let all = RETIRED.iter().flat_map(|(words, instead)| words.iter().map(move |word| (*word, *instead)));
    all.filter(|(word, _)| padded.contains(&format!(" {word} "))).collect()
}

fn findings_in(file: &str, line: usize, text: &str) -> Vec<Finding> {
    let proper = |word: &str| {
        PROPER.iter().any(|(path, part, _)| {
            file.starts_with(path) && text.contains(part) && part.to_lowercase().contains(word)
        })
    };
    let found = retired(text).into_iter().filter(|(word, _)| !proper(word));
    found.map(|(word, instead)| Finding { file: file.to_owned(), line, word, instead }).collect()
}

/// Every line of a document. The last column of the glossary has the words that are not used.
fn findings_in_document(file: &str) -> Vec<Finding> {
    let text = read(file);
    let line = |(i, line): (usize, &str)| {
        let glossary = file == "docs/glossary.md" && line.starts_with('|');
        let kept = if glossary {
            line.trim_end_matches('|').rsplit_once('|').map_or(line, |(kept, _)| kept)
        } else {
            line
        };
        findings_in(file, i + 1, kept)
    };
    text.lines().enumerate().flat_map(line).collect()
}

/// Every comment and every string literal of a source file.
fn findings_in_source(file: &str) -> Vec<Finding> {
    let text = read(file);
    let texts = pieces(&text).into_iter().filter(|p| p.kind != Kind::Code);
    let lines = texts.flat_map(|p| {
        let numbered = p.text.lines().enumerate().map(|(i, l)| (p.line + i, l.to_owned()));
        numbered.collect::<Vec<_>>()
    });
    lines.flat_map(|(line, text)| findings_in(file, line, &text)).collect()
}

fn documents() -> Vec<String> {
    let mut all = markdown();
    for directory in ["man", "systemd", "packaging"] {
        all.extend(files_below(directory, ""));
    }
    all
}

fn list(found: &[Finding]) -> String {
    let line = |f: &Finding| format!("{}:{}: '{}': write: {}", f.file, f.line, f.word, f.instead);
    found.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn documents_have_no_retired_word() {
    let found: Vec<Finding> = documents().iter().flat_map(|file| findings_in_document(file)).collect();
    assert!(found.is_empty(), "{}", list(&found));
}

#[test]
fn comments_and_messages_have_no_retired_word() {
    let found: Vec<Finding> =
        files_below("src", ".rs").iter().flat_map(|file| findings_in_source(file)).collect();
    let not_yet = |f: &Finding| NOT_YET.iter().find(|path| f.file.starts_with(**path));
    let used: BTreeSet<&str> = found.iter().filter_map(|f| not_yet(f).copied()).collect();
    let clean: Vec<&&str> = NOT_YET.iter().filter(|entry| !used.contains(**entry)).collect();
    assert!(clean.is_empty(), "no retired word any more, remove them from the list: {clean:?}");
    let found: Vec<Finding> = found.into_iter().filter(|f| not_yet(f).is_none()).collect();
    assert!(found.is_empty(), "{}", list(&found));
}

/// "Where X, Y" for a condition: "If X, Y."
#[test]
fn no_sentence_of_a_document_begins_with_where() {
    let mut found = Vec::new();
    for file in documents() {
        for (i, line) in read(&file).lines().enumerate() {
            let line = line.trim_start_matches(['#', '-', '*', '|', ' ']);
            // A question is not a condition.
            let question = line.ends_with('?') || line.starts_with("Where |");
            if (line.starts_with("Where ") || line.contains(". Where ")) && !question {
                found.push(format!("{file}:{}: {line}", i + 1));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn lint_finds_words_and_phrases_but_not_parts_of_words() {
    assert_eq!(retired("The Folder is there."), [("folder", "directory; prefix in a bucket")]);
    assert_eq!(retired("it goes on for ever").len(), 1);
    assert_eq!(retired("badly, waterproof, a judgment, foreverness"), []);
    assert_eq!(findings_in("README.md", 1, "set `--s3-folder`"), []);
    assert_eq!(findings_in("README.md", 1, "a folder").len(), 1);
}

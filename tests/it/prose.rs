// SPDX-License-Identifier: Apache-2.0
//! No test compares a sentence of ours. Sentences change; codes, kinds, states and fields do not. A test searches a text
//! only for a path, an option, a value or a secret.

use std::collections::BTreeMap;

use crate::documents::{files_below, read};
use crate::support::rust_source::{Kind, pieces};

/// Methods that compare a text with a literal.
const COMPARES: [&str; 5] = [".contains(", ".starts_with(", ".ends_with(", ".matches(", ".find("];

/// Files in which tests compare sentences, with the number of sentences and the reason.
const ALLOWED: &[(&str, usize, &str)] = &[
    ("tests/it/clone.rs", 1, "the last line of a script in tests/host"),
    ("tests/it/fake_k3s.rs", 1, "the last line of a script in tests/host"),
    ("tests/it/packages.rs", 4, "the last line of a script in tests/host"),
    ("tests/it/restore.rs", 2, "the last line of a script in tests/host"),
    ("tests/it/rke2.rs", 1, "the last line of a script in tests/host"),
    ("tests/it/systemd.rs", 1, "the last line of a script in tests/host"),
    ("tests/it/support/cluster.rs", 1, "a message of etcd"),
    ("tests/it/support/etcd.rs", 2, "a message of etcd"),
    ("tests/it/support/objects.rs", 1, "a message of etcd"),
    ("tests/it/support_selftest.rs", 1, "a message of etcd"),
    ("src/source/etcd/error.rs", 1, "a message of the etcd client"),
];

/// What a command line begins with: it must be typed as it is printed.
const COMMANDS: [&str; 4] = ["systemctl ", "rke2 ", "make ", "mv "];

/// Whether a literal has two words of English in a row.
fn is_sentence(literal: &str) -> bool {
    let is_word = |w: &str| w.len() > 1 && w.chars().all(|c| c.is_ascii_lowercase());
    let words: Vec<&str> = literal.split(' ').map(|w| w.trim_matches([',', ':', ';', '.'])).collect();
    words.windows(2).any(|pair| is_word(pair[0]) && is_word(pair[1]))
        && !COMMANDS.iter().any(|command| literal.starts_with(command))
}

/// The compared sentences of a file, with their lines.
fn sentences(source: &str) -> Vec<(usize, String)> {
    let pieces = pieces(source);
    let compared = pieces.windows(2).filter(|pair| {
        let code = pair[0].text.trim_end();
        pair[0].kind == Kind::Code
            && pair[1].kind == Kind::Literal
            && COMPARES.iter().any(|method| code.ends_with(method))
            && is_sentence(&pair[1].text)
    });
    compared.map(|pair| (pair[1].line, pair[1].text.clone())).collect()
}

/// The part of a source file that has its unit tests.
fn tests_of(file: &str, source: &str) -> String {
    let is_test = file.ends_with("/tests.rs") || file.contains("/tests/");
    if is_test {
        return source.to_owned();
    }
    let Some(at) = source.find("\n#[cfg(test)]") else { return String::new() };
    // Lines keep their numbers.
    format!("{}{}", "\n".repeat(source[..at].matches('\n').count()), &source[at..])
}

#[test]
fn no_test_compares_a_sentence_of_ours() {
    let mut found: BTreeMap<String, Vec<(usize, String)>> = BTreeMap::new();
    for file in files_below("tests/it", ".rs") {
        found.insert(file.clone(), sentences(&read(&file)));
    }
    for file in files_below("src", ".rs") {
        found.insert(file.clone(), sentences(&tests_of(&file, &read(&file))));
    }
    let mut new = String::new();
    for (file, sentences) in found {
        let allowed =
            ALLOWED.iter().filter(|(path, ..)| file.starts_with(path)).max_by_key(|(path, ..)| path.len());
        let count = allowed.map_or(0, |(_, count, _)| *count);
        if sentences.len() > count {
            for (line, text) in sentences {
                new.push_str(&format!("{file}:{line}: \"{text}\"\n"));
            }
        }
    }
    assert!(new.is_empty(), "compare a code, a kind, a state or a field instead:\n{new}");
}

#[test]
fn sentences_are_distinguished_from_names_and_commands() {
    let source = "a.contains(\"no such file\"); b.contains(\"--s3\"); c.starts_with(\"error: \"); d.len();\n\
                  e.contains( \"systemctl status k3s\"); f(\"not compared at all\");";
    assert_eq!(sentences(source), [(1, "no such file".to_owned())]);
}

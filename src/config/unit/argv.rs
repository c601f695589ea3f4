// SPDX-License-Identifier: Apache-2.0
//! The command line of K3s: variables put in as systemd does, then read as K3s reads its flags.

use super::quoting;
use crate::model::unit::k3s_in;

/// The long names of K3s's one-letter flags.
const SHORT: [(&str, &str); 7] = [
    ("d", "data-dir"),
    ("t", "token"),
    ("s", "server"),
    ("c", "config"),
    ("o", "write-kubeconfig"),
    ("i", "node-ip"),
    ("l", "log"),
];

/// Flags whose value may begin with a dash, beside those that end in `-arg`.
const ANY_VALUE: [&str; 4] = ["token", "agent-token", "vmodule", "datastore-endpoint"];

/// A command line of K3s, read.
#[derive(Default)]
pub(super) struct Command {
    /// The program's path.
    pub(super) executable: Option<String>,
    /// `server` or `agent`.
    pub(super) command: Option<&'static str>,
    /// Flags by their long names, and their values, in order.
    pub(super) flags: Vec<(String, String)>,
}

/// The long name of a flag or of a key of config.yaml.
pub(super) fn long(name: &str) -> &str {
    SHORT.iter().find(|(short, _)| *short == name).map_or(name, |(_, long)| long)
}

/// Reads a command line. One that does not run K3s has no flags.
pub(super) fn read(argv: &[String], program: &str) -> Command {
    let executable = argv.first().cloned();
    let Some((executable, command, from)) = k3s_in(argv, program) else {
        return Command { executable, ..Command::default() };
    };
    let at = argv.iter().position(|word| word == executable).unwrap_or_default();
    // Some flags may stand before the sub-command.
    let before = argv.get(at + 1..from.saturating_sub(1)).unwrap_or_default();
    let mut flags = flags(before);
    flags.extend(self::flags(argv.get(from..).unwrap_or_default()));
    Command { executable: Some(executable.to_owned()), command: Some(command), flags }
}

fn flags(words: &[String]) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        if word == "--" {
            break;
        }
        let Some(flag) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else { continue };
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (long(name), value.to_owned()),
            None => {
                let name = long(flag);
                let any = name.ends_with("-arg") || ANY_VALUE.contains(&name);
                // K3s takes no other words than flags and their values, so this one belongs to the flag.
                let value = words.next_if(|next| any || !next.starts_with('-'));
                (name, value.map_or_else(|| "true".to_owned(), Clone::clone))
            }
        };
        if !name.is_empty() {
            all.push((name.to_owned(), value));
        }
    }
    all
}

/// Puts variables in as systemd does: `${NAME}` anywhere in a word, `$NAME` only as a word of its own, which is cut into
/// words; `$$` is a dollar. The first word is the program and stays.
pub(super) fn substitute<'a>(argv: &[String], value: &dyn Fn(&str) -> Option<&'a str>) -> Vec<String> {
    let mut all: Vec<String> = argv.first().cloned().into_iter().collect();
    for word in argv.iter().skip(1) {
        match word.strip_prefix('$') {
            Some(name) if !name.starts_with(['{', '$']) => {
                let text = value(name).unwrap_or_default();
                let cut = quoting::split(text);
                all.extend(cut.unwrap_or_else(|| text.split_whitespace().map(str::to_owned).collect()));
            }
            _ => all.push(braces(word, value)),
        }
    }
    all
}

fn braces<'a>(word: &str, value: &dyn Fn(&str) -> Option<&'a str>) -> String {
    let mut text = String::new();
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            text.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('{').and_then(|r| r.split_once('}')) {
            text.push_str(value(name).unwrap_or_default());
            rest = after;
        } else {
            text.push('$');
        }
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &[&str]) -> Vec<String> {
        line.iter().map(|w| (*w).to_owned()).collect()
    }

    #[test]
    fn a_command_line_is_read_as_k3s_reads_it() {
        for (name, line, want) in [
            ("a value behind =", vec!["--data-dir=/x"], vec![("data-dir", "/x")]),
            ("a value as the next word", vec!["--data-dir", "/x"], vec![("data-dir", "/x")]),
            ("one letter", vec!["-d", "/x", "-t=y"], vec![("data-dir", "/x"), ("token", "y")]),
            ("one dash and a long name", vec!["-data-dir", "/x"], vec![("data-dir", "/x")]),
            (
                "a switch",
                vec!["--cluster-init", "--debug"],
                vec![("cluster-init", "true"), ("debug", "true")],
            ),
            ("a switch at the end", vec!["--cluster-init"], vec![("cluster-init", "true")]),
            ("a switch that is off", vec!["--cluster-init=false"], vec![("cluster-init", "false")]),
            (
                "an argument for another program",
                vec!["--kubelet-arg", "--v=2"],
                vec![("kubelet-arg", "--v=2")],
            ),
            ("a token with a dash", vec!["--token", "-x"], vec![("token", "-x")]),
            ("a value with =", vec!["--etcd-arg=a=b"], vec![("etcd-arg", "a=b")]),
            ("an empty value", vec!["--node-name="], vec![("node-name", "")]),
            ("twice", vec!["--tls-san=a", "--tls-san", "b"], vec![("tls-san", "a"), ("tls-san", "b")]),
            ("nothing behind --", vec!["--debug", "--", "--x"], vec![("debug", "true")]),
        ] {
            let argv = words(&[&["/usr/local/bin/k3s", "server"], line.as_slice()].concat());
            let read = read(&argv, "k3s");
            let got: Vec<(&str, &str)> = read.flags.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            assert_eq!(got, want, "{name}");
            assert_eq!(
                (read.executable.as_deref(), read.command),
                (Some("/usr/local/bin/k3s"), Some("server"))
            );
        }
    }

    #[test]
    fn program_and_sub_command_are_found_and_flags_before_it_count() {
        let read = |line: &[&str]| read(&words(line), "k3s");
        let k3s = read(&["/usr/bin/env", "K=v", "/opt/k3s", "--debug", "agent", "-s", "https://a"]);
        assert_eq!((k3s.executable.as_deref(), k3s.command), (Some("/opt/k3s"), Some("agent")));
        let flags = [("debug", "true"), ("server", "https://a")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(k3s.flags, flags);
        let other = read(&["/bin/sh", "-c", "exec k3s server --token geheim"]);
        assert_eq!((other.executable.as_deref(), other.command), (Some("/bin/sh"), None));
        assert!(other.flags.is_empty());
        let linked = read(&["/usr/local/bin/k3s-server", "--debug"]);
        assert_eq!((linked.command, linked.flags.len()), (Some("server"), 1));
    }

    #[test]
    fn variables_are_put_in_as_systemd_does() {
        let env = |name: &str| {
            [("A", "1 2"), ("E", ""), ("Q", "'x y' z")].into_iter().find(|e| e.0 == name).map(|e| e.1)
        };
        for (name, line, want) in [
            ("braces are one word", vec!["${A}", "--x=${A}y"], vec!["1 2", "--x=1 2y"]),
            ("a word of its own is cut", vec!["$A"], vec!["1", "2"]),
            ("quotes in it count", vec!["$Q"], vec!["x y", "z"]),
            ("in the middle only braces count", vec!["a$A"], vec!["a$A"]),
            ("what is not set", vec!["${N}", "$N", "x${N}"], vec!["", "x"]),
            ("what is empty", vec!["${E}", "$E"], vec![""]),
            ("two dollars are one", vec!["$$A", "a$$b", "$${A}"], vec!["$A", "a$b", "${A}"]),
            ("no end", vec!["${A", "x$"], vec!["${A", "x$"]),
        ] {
            let argv = words(&[&["/$A"], line.as_slice()].concat());
            let got = substitute(&argv, &env);
            assert_eq!(got[0], "/$A", "the program stays");
            assert_eq!(got[1..], words(&want)[..], "{name}");
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
//! The command line of K3s: variables expanded as systemd does, then read as K3s reads its flags.

use super::k3s_flags::{SWITCHES, WITH_VALUE, long_name};
use super::quoting;
use crate::model::unit::find_k3s_command;

/// A command line that was read.
#[derive(Default)]
pub(super) struct K3sCommand {
    /// The path of the program.
    pub(super) executable: Option<String>,
    /// `server` or `agent`; `None` if the command line does not run K3s directly.
    pub(super) command: Option<&'static str>,
    /// The flags of the sub-command as they are spelled, with their values, in order.
    pub(super) flags: Vec<(String, String)>,
    /// The configuration file that it names.
    pub(super) config: Option<String>,
    /// What K3s does with it that its author cannot mean, as the end of a sentence about the unit.
    pub(super) problem: Option<String>,
}

/// Reads a command line. One that does not run K3s directly has no flags.
pub(super) fn read(argv: &[String], program: &str) -> K3sCommand {
    let Some(k3s) = find_k3s_command(argv, program) else {
        return K3sCommand { executable: argv.first().cloned(), ..K3sCommand::default() };
    };
    // Global flags in front of the sub-command have no effect: K3s sets them again to their defaults.
    let words = argv.get(k3s.arguments..).unwrap_or_default();
    let (flags, problem) = parse_flags(&flags_first(words));
    K3sCommand {
        executable: Some(k3s.executable.to_owned()),
        command: Some(k3s.command),
        flags,
        config: config_flag(argv.get(k3s.program..).unwrap_or_default()),
        problem,
    }
}

/// The configuration file. K3s looks for it before it parses its flags, in the whole command line, and takes the first one.
fn config_flag(argv: &[String]) -> Option<String> {
    argv.iter().enumerate().find_map(|(at, word)| {
        ["--config", "-c"].into_iter().find_map(|flag| match word.strip_prefix(flag)? {
            "" => Some(argv.get(at + 1).cloned().unwrap_or_default()),
            value => value.strip_prefix('=').map(str::to_owned),
        })
    })
}

/// A word that names a flag: its long name, and the value after `=`.
fn as_flag(word: &str) -> Option<(&str, Option<&str>)> {
    let flag = word.strip_prefix("--").or_else(|| word.strip_prefix('-'))?;
    let (name, value) = flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value)));
    let long = long_name(name);
    // Single letters that are no flags of K3s belong to the value of another flag: `--token -x`.
    let is_flag = long.len() > 1 && !long.starts_with('-') || WITH_VALUE.contains(&long);
    is_flag.then_some((long, value))
}

/// K3s (urfave/cli v1.22) moves words that belong to no flag to the end before it parses the flags.
fn flags_first(words: &[String]) -> Vec<String> {
    let (mut first, mut last) = (Vec::new(), Vec::new());
    let mut may_be_value = false;
    for (at, word) in words.iter().enumerate() {
        let is_flag = as_flag(word).is_some();
        if may_be_value && !is_flag {
            may_be_value = false;
            first.push(word.clone());
        } else if word == "--" {
            last.insert(0, word.clone());
            last.extend(words.iter().skip(at + 1).cloned());
            break;
        } else if is_flag {
            may_be_value = !word.contains('=');
            first.push(word.clone());
        } else {
            last.push(word.clone());
        }
    }
    first.extend(last);
    first
}

/// The flags up to the first word that belongs to no flag, as the package `flag` of Go parses them. The other result is a
/// problem: flags after that word, or a flag without its value.
fn parse_flags(words: &[String]) -> (Vec<(String, String)>, Option<String>) {
    let mut flags = Vec::new();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        if !word.starts_with('-') || word == "-" || word == "--" {
            let ignores_flags = rest.any(|later| later.starts_with('-'));
            let problem =
                format!("has flags after the argument '{}', which have no effect", word.escape_debug());
            return (flags, ignores_flags.then_some(problem));
        }
        let flag = word.strip_prefix("--").or_else(|| word.strip_prefix('-')).unwrap_or(word);
        let (name, value) = flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value)));
        let long = long_name(name);
        let next_is_value = WITH_VALUE.contains(&long)
            || !SWITCHES.contains(&long)
                && rest.as_slice().first().is_some_and(|next| !next.starts_with('-'));
        let value = match value {
            Some(value) => value.to_owned(),
            None if next_is_value => match rest.next() {
                Some(value) => value.clone(),
                None => {
                    return (flags, Some(format!("has the flag '{}' without a value", name.escape_debug())));
                }
            },
            None => "true".to_owned(),
        };
        if !name.is_empty() {
            flags.push((name.to_owned(), value));
        }
    }
    (flags, None)
}

/// Expands variables as systemd does: `${NAME}` anywhere in a word, `$NAME` only as a word of its own, which is then split
/// into words; `$$` is a dollar sign. The first word is the program and stays as it is.
pub(super) fn expand_variables<'a>(argv: &[String], value: &dyn Fn(&str) -> Option<&'a str>) -> Vec<String> {
    let mut all: Vec<String> = argv.first().cloned().into_iter().collect();
    for word in argv.iter().skip(1) {
        match word.strip_prefix('$') {
            Some(name) if !name.starts_with(['{', '$']) => {
                let text = value(name).unwrap_or_default();
                let words = quoting::split(text);
                all.extend(words.unwrap_or_else(|| text.split_whitespace().map(str::to_owned).collect()));
            }
            _ => all.push(expand_braced(word, value)),
        }
    }
    all
}

fn expand_braced<'a>(word: &str, value: &dyn Fn(&str) -> Option<&'a str>) -> String {
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

    /// Compared with K3s v1.31 itself.
    #[test]
    fn a_command_line_is_read_as_k3s_reads_it() {
        for (name, line, want) in [
            ("a value after =", vec!["--data-dir=/x"], vec![("data-dir", "/x")]),
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
                "a word after a switch ends the flags",
                vec!["--cluster-init", "false", "-d", "/x"],
                vec![("cluster-init", "true")],
            ),
            ("a word that belongs to nothing comes last", vec!["x", "-d", "/x"], vec![("data-dir", "/x")]),
            (
                "an argument for another program",
                vec!["--kubelet-arg", "--v=2"],
                vec![("kubelet-arg", "--v=2")],
            ),
            ("a token with a dash", vec!["--token", "-x"], vec![("token", "-x")]),
            ("a value that looks like a flag", vec!["--data-dir", "--debug"], vec![("data-dir", "--debug")]),
            ("a value with =", vec!["--etcd-arg=a=b"], vec![("etcd-arg", "a=b")]),
            ("an empty value", vec!["--node-name="], vec![("node-name", "")]),
            ("twice", vec!["--tls-san=a", "--tls-san", "b"], vec![("tls-san", "a"), ("tls-san", "b")]),
            ("nothing after --", vec!["--debug", "--", "--x"], vec![("debug", "true")]),
            ("a flag of a later K3s", vec!["--new", "a", "--other"], vec![("new", "a"), ("other", "true")]),
        ] {
            let argv = words(&[&["/usr/local/bin/k3s", "server"], line.as_slice()].concat());
            let read = read(&argv, "k3s");
            let got: Vec<(&str, &str)> =
                read.flags.iter().map(|(name, value)| (long_name(name), value.as_str())).collect();
            assert_eq!(got, want, "{name}");
            assert_eq!(
                (read.executable.as_deref(), read.command),
                (Some("/usr/local/bin/k3s"), Some("server"))
            );
        }
    }

    #[test]
    fn flags_without_an_effect_and_without_a_value_are_a_problem() {
        let problem = |line: &[&str]| read(&words(line), "k3s").problem.unwrap_or_default();
        let line = ["/k3s", "server", "--cluster-init", "true", "-d", "/x"];
        assert!(problem(&line).contains("'true'"), "{}", problem(&line));
        assert!(problem(&["/k3s", "server", "--token"]).contains("'token'"));
        assert_eq!(problem(&line[..4]), "");
        assert_eq!(problem(&["/k3s", "server", "-d", "/x", "word"]), "");
    }

    #[test]
    fn program_and_sub_command_are_found_and_flags_before_it_have_no_effect() {
        let read = |line: &[&str]| read(&words(line), "k3s");
        let k3s = read(&["/usr/bin/env", "K=v", "/opt/k3s", "-d", "/no", "agent", "-s", "https://a"]);
        assert_eq!((k3s.executable.as_deref(), k3s.command), (Some("/opt/k3s"), Some("agent")));
        assert_eq!(k3s.flags, [("s".to_owned(), "https://a".to_owned())]);
        let other = read(&["/bin/sh", "-c", "exec k3s server --token secret"]);
        assert_eq!((other.executable.as_deref(), other.command), (Some("/bin/sh"), None));
        assert!(other.flags.is_empty());
        let linked = read(&["/usr/local/bin/k3s-server", "--debug"]);
        assert_eq!((linked.command, linked.flags.len()), (Some("server"), 1));
    }

    #[test]
    fn the_first_config_flag_wins_wherever_it_is() {
        let config = |line: &[&str]| read(&words(line), "k3s").config;
        assert_eq!(config(&["/k3s", "server", "-c", "/a", "--config=/b"]).as_deref(), Some("/a"));
        assert_eq!(config(&["/k3s", "--config=/g", "server", "-c", "/a"]).as_deref(), Some("/g"));
        assert_eq!(config(&["/k3s", "server", "-c=/a"]).as_deref(), Some("/a"));
        assert_eq!(config(&["/k3s", "server", "--config-x", "/a"]), None);
        assert_eq!(config(&["/bin/setarch", "-c", "x", "/k3s", "server"]), None);
    }

    #[test]
    fn variables_are_expanded_as_systemd_does() {
        let env = |name: &str| {
            [("A", "1 2"), ("E", ""), ("Q", "'x y' z")].into_iter().find(|e| e.0 == name).map(|e| e.1)
        };
        for (name, line, want) in [
            ("braces are one word", vec!["${A}", "--x=${A}y"], vec!["1 2", "--x=1 2y"]),
            ("a word of its own is split", vec!["$A"], vec!["1", "2"]),
            ("quotes in it count", vec!["$Q"], vec!["x y", "z"]),
            ("in the middle only braces count", vec!["a$A"], vec!["a$A"]),
            ("variables that are not set", vec!["${N}", "$N", "x${N}"], vec!["", "x"]),
            ("an empty variable", vec!["${E}", "$E"], vec![""]),
            ("two dollar signs are one", vec!["$$A", "a$$b", "$${A}"], vec!["$A", "a$b", "${A}"]),
            ("no end", vec!["${A", "x$"], vec!["${A", "x$"]),
        ] {
            let argv = words(&[&["/$A"], line.as_slice()].concat());
            let got = expand_variables(&argv, &env);
            assert_eq!(got[0], "/$A", "the program stays");
            assert_eq!(got[1..], words(&want)[..], "{name}");
        }
    }
}

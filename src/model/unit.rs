// SPDX-License-Identifier: Apache-2.0
//! The process that a unit runs, as systemd reports it or as a unit file defines it.

use std::fmt;
use std::path::PathBuf;

/// The part of a service unit that decides what K3s is started with.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Definition {
    /// The unit's name, with `.service`.
    pub name: String,
    /// The first command of `ExecStart=`: the program's path, then its arguments. Specifiers are replaced, variables
    /// are not.
    pub exec_start: Vec<String>,
    /// Whether systemd leaves `$VARIABLE` in the arguments alone, as `ExecStart=:` asks for.
    pub verbatim: bool,
    /// `Environment=`, in order.
    pub environment: Vec<(String, String)>,
    /// `EnvironmentFile=`, in order, and whether each may be missing.
    pub environment_files: Vec<(PathBuf, bool)>,
}

/// Arguments and variables may be secret.
impl fmt::Debug for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = self.exec_start.first().map_or("nothing", String::as_str);
        write!(
            f,
            "{} runs {program} with {} argument(s), {} variable(s) and {} file(s)",
            self.name,
            self.exec_start.len().saturating_sub(1),
            self.environment.len(),
            self.environment_files.len()
        )
    }
}

/// The sub-command of a server.
pub const SERVER: &str = "server";
/// The sub-command of an agent.
pub const AGENT: &str = "agent";

/// What a command line runs of K3s: the path of the program, the sub-command, and the index of its first argument. Another
/// program may come first, as in `env k3s server`; the text of a shell command is not parsed.
pub fn k3s_in<'a>(argv: &'a [String], program: &str) -> Option<(&'a str, &'static str, usize)> {
    let file = |word: &'a str| word.rsplit('/').next().unwrap_or_default();
    let commands = [SERVER, AGENT];
    for (at, word) in argv.iter().enumerate() {
        // A link to K3s can have the sub-command in its name.
        let by_link = commands
            .into_iter()
            .find(|c| file(word).strip_prefix(program).and_then(|rest| rest.strip_prefix('-')) == Some(c));
        if let Some(command) = by_link {
            return Some((word, command, at + 1));
        }
        if file(word) == program {
            let rest = argv.iter().enumerate().skip(at + 1);
            // Only flags can precede the sub-command.
            let mut rest = rest.skip_while(|(_, word)| word.starts_with('-'));
            let (at, name) = rest.next()?;
            return commands.into_iter().find(|c| name == c).map(|c| (word.as_str(), c, at + 1));
        }
    }
    None
}

/// The unit of K3s: the one that runs a server, else the one that runs an agent.
///
/// # Errors
/// The names of all candidates if there is not exactly one; empty if there is none.
pub fn the_one<'a>(units: &'a [Definition], program: &str) -> Result<&'a Definition, Vec<&'a str>> {
    for command in [SERVER, AGENT] {
        let runs = |d: &&Definition| k3s_in(&d.exec_start, program).is_some_and(|(_, c, _)| c == command);
        let found: Vec<&Definition> = units.iter().filter(runs).collect();
        match found.as_slice() {
            [] => {}
            [one] => return Ok(one),
            several => return Err(several.iter().map(|d| d.name.as_str()).collect()),
        }
    }
    Err(Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn k3s_is_found_in_a_command_line() {
        for (line, want) in [
            ("/usr/local/bin/k3s server --x", Some(("/usr/local/bin/k3s", "server", 2))),
            ("/usr/local/bin/k3s agent", Some(("/usr/local/bin/k3s", "agent", 2))),
            ("/usr/local/bin/k3s --debug server -d /x", Some(("/usr/local/bin/k3s", "server", 3))),
            ("/usr/bin/env k3s server", Some(("k3s", "server", 3))),
            ("/usr/bin/taskset 3 /opt/k3s server", Some(("/opt/k3s", "server", 4))),
            ("/usr/local/bin/k3s-server --x", Some(("/usr/local/bin/k3s-server", "server", 1))),
            ("/usr/local/bin/k3s-agent", Some(("/usr/local/bin/k3s-agent", "agent", 1))),
            ("/usr/local/bin/k3s etcd-snapshot save", None),
            ("/usr/local/bin/k3s", None),
            ("/usr/bin/k3s-snapshot-save", None),
            ("/usr/bin/k3sup server", None),
            ("/bin/true", None),
        ] {
            assert_eq!(k3s_in(&words(line), "k3s"), want, "{line}");
        }
    }

    #[test]
    fn of_several_units_a_server_is_k3s_s_and_two_are_a_question() {
        let unit = |name: &str, line: &str| Definition {
            name: name.to_owned(),
            exec_start: words(line),
            ..Definition::default()
        };
        let (server, other) = (unit("a", "/k3s server"), unit("b", "/bin/sh"));
        let (agent, second) = (unit("c", "/k3s agent"), unit("d", "/opt/k3s server"));
        let name = |units: &[&Definition]| {
            let units: Vec<Definition> = units.iter().map(|u| (*u).clone()).collect();
            the_one(&units, "k3s").map(|d| d.name.clone()).map_err(|names| names.join(" "))
        };
        assert_eq!(name(&[&other, &agent, &server]), Ok("a".to_owned()));
        assert_eq!(name(&[&other, &agent]), Ok("c".to_owned()));
        assert_eq!(name(&[&server, &agent, &second]), Err("a d".to_owned()));
        assert_eq!(name(&[&other]), Err(String::new()));
    }

    #[test]
    fn no_argument_and_no_variable_is_shown() {
        let d = Definition {
            name: "x".to_owned(),
            exec_start: words("/k3s server --token geheim"),
            environment: vec![("K3S_TOKEN".to_owned(), "geheim".to_owned())],
            ..Definition::default()
        };
        assert!(!format!("{d:?}").contains("geheim"));
    }
}

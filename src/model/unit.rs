// SPDX-License-Identifier: Apache-2.0
//! The part of a service unit that decides how K3s is started. systemd reports it, or unit files are read.

use std::fmt;
use std::path::PathBuf;

use crate::distribution::Distribution;

/// What a service unit runs, with which environment.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Definition {
    /// The unit's name, with `.service`.
    pub name: String,
    /// The first command of `ExecStart=`: the path of the program, then its arguments. Specifiers are expanded, variables
    /// are not.
    pub exec_start: Vec<String>,
    /// Whether systemd does not expand `$VARIABLE` in the arguments, as `ExecStart=:` requests.
    pub verbatim: bool,
    /// `Environment=`, in order.
    pub environment: Vec<(String, String)>,
    /// `EnvironmentFile=`, in order, and whether each may be missing.
    pub environment_files: Vec<(PathBuf, bool)>,
    /// `WorkingDirectory=`, if it is an absolute path; else the process starts in `/`.
    pub working_directory: Option<PathBuf>,
    /// Why a part may be missing: something exists and could not be read.
    pub unknown: Option<String>,
}

/// Prints no argument and no variable: they may be secret.
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

/// What a search for the K3s service found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnitAnswer {
    /// The unit that runs K3s.
    Found(Definition),
    /// No unit runs K3s.
    Absent,
    /// systemd does not run on this machine. Unit files may exist nevertheless.
    NoSystemd,
    /// It is not known which unit runs K3s, or with which flags; the text is the reason.
    Unknown(String),
}

/// K3s as a command line runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct K3sCommandLine<'a> {
    /// The path of the program.
    pub executable: &'a str,
    /// The index of the program.
    pub program: usize,
    /// `server` or `agent`.
    pub command: &'static str,
    /// The index of the first argument of the sub-command.
    pub arguments: usize,
}

/// Finds K3s in a command line. The program may follow another one, as in `env k3s server` or
/// `ip netns exec k3s /usr/local/bin/k3s server`. The text that a shell runs is not searched.
pub fn find_k3s_command<'a>(argv: &'a [String], program: &str) -> Option<K3sCommandLine<'a>> {
    argv.iter().enumerate().find_map(|(at, word)| {
        let file = word.rsplit('/').next().unwrap_or_default();
        let rest = file.strip_prefix(program)?;
        // K3s can be called by a link that has the sub-command in its name: k3s-server.
        let link = rest.strip_prefix('-').and_then(sub_command);
        let (command, arguments) = match link {
            Some(command) => (command, at + 1),
            None if rest.is_empty() => sub_command_after(argv, at)?,
            None => return None,
        };
        Some(K3sCommandLine { executable: word, program: at, command, arguments })
    })
}

fn sub_command(word: &str) -> Option<&'static str> {
    [SERVER, AGENT].into_iter().find(|command| *command == word)
}

/// The sub-command of the program at this index, and the index after the sub-command. Only global flags of K3s can be
/// between the two; `--data-dir` takes a value.
fn sub_command_after(argv: &[String], program: usize) -> Option<(&'static str, usize)> {
    let mut at = program + 1;
    loop {
        let word = argv.get(at)?;
        at += match word.strip_prefix('-') {
            Some("-" | "") | None => return sub_command(word).map(|command| (command, at + 1)),
            Some("-data-dir" | "data-dir" | "d") => 2,
            Some(_) => 1,
        };
    }
}

/// Selects the unit that runs K3s: the one that runs a server, else the one that runs an agent.
///
/// # Errors
/// The names of all units that could be meant, if there is not exactly one; empty if there is none.
pub fn select_unit<'a>(units: &'a [Definition], program: &str) -> Result<&'a Definition, Vec<&'a str>> {
    for command in [SERVER, AGENT] {
        let runs = |d: &&Definition| {
            find_k3s_command(&d.exec_start, program).is_some_and(|k3s| k3s.command == command)
        };
        let found: Vec<&Definition> = units.iter().filter(runs).collect();
        match found.as_slice() {
            [] => {}
            [one] => return Ok(one),
            several => return Err(several.iter().map(|d| d.name.as_str()).collect()),
        }
    }
    Err(Vec::new())
}

impl UnitAnswer {
    /// The answer that these units give. Two that run K3s are ambiguous, and a unit that starts K3s through a shell hides its
    /// flags: both are unknown.
    pub fn from_units(units: &[Definition], distribution: &Distribution) -> UnitAnswer {
        let (program, name) = (distribution.program, distribution.name);
        match select_unit(units, program) {
            Ok(unit) => UnitAnswer::Found(unit.clone()),
            Err(several) if !several.is_empty() => {
                let names = several.join(", ");
                UnitAnswer::Unknown(format!("several units run {name} ({names}); name one with --unit"))
            }
            Err(_) => match units.iter().find(|d| mentions_k3s(&d.exec_start, program)) {
                Some(unit) => UnitAnswer::Unknown(format!(
                    "{} seems to start {name} through another program, so its arguments cannot be seen",
                    unit.name
                )),
                None => UnitAnswer::Absent,
            },
        }
    }
}

/// Whether one word of a command line has a whole command line of K3s in it, as the text for a shell has.
pub fn mentions_k3s(argv: &[String], program: &str) -> bool {
    let has = |word: &String, command: &str| {
        word.match_indices(&format!("{program} {command}")).any(|(at, found)| {
            let before = word.get(..at).and_then(|text| text.chars().next_back());
            let after = word.get(at + found.len()..).and_then(|text| text.chars().next());
            before.is_none_or(|c| c == '/' || c.is_whitespace()) && after.is_none_or(char::is_whitespace)
        })
    };
    argv.iter().any(|word| [SERVER, AGENT].into_iter().any(|command| has(word, command)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distribution::K3S;

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
            ("/usr/local/bin/k3s --data-dir /x server", Some(("/usr/local/bin/k3s", "server", 4))),
            ("/usr/local/bin/k3s -d=/x server", Some(("/usr/local/bin/k3s", "server", 3))),
            // A word that only has the name of the program.
            (
                "/sbin/ip netns exec k3s /usr/local/bin/k3s server -d /x",
                Some(("/usr/local/bin/k3s", "server", 6)),
            ),
            (
                "/usr/bin/systemd-cat -t k3s /usr/local/bin/k3s server",
                Some(("/usr/local/bin/k3s", "server", 5)),
            ),
            ("/sbin/runuser -u k3s -- /usr/local/bin/k3s agent", Some(("/usr/local/bin/k3s", "agent", 6))),
            (
                "/sbin/ip netns exec k3s /usr/local/bin/k3s-server",
                Some(("/usr/local/bin/k3s-server", "server", 5)),
            ),
            ("/usr/bin/k3s -- server", None),
            ("/usr/local/bin/k3s-server --x", Some(("/usr/local/bin/k3s-server", "server", 1))),
            ("/usr/local/bin/k3s-agent", Some(("/usr/local/bin/k3s-agent", "agent", 1))),
            ("/usr/local/bin/k3s etcd-snapshot save", None),
            ("/usr/local/bin/k3s", None),
            ("/usr/bin/k3s-snapshot-save", None),
            ("/usr/bin/k3sup server", None),
            ("/bin/true", None),
        ] {
            let line_words = words(line);
            let got =
                find_k3s_command(&line_words, "k3s").map(|k3s| (k3s.executable, k3s.command, k3s.arguments));
            assert_eq!(got, want, "{line}");
        }
    }

    #[test]
    fn of_several_units_the_one_with_a_server_is_selected_and_two_are_ambiguous() {
        let unit = |name: &str, line: &str| Definition {
            name: name.to_owned(),
            exec_start: words(line),
            ..Definition::default()
        };
        let (server, other) = (unit("a", "/k3s server"), unit("b", "/bin/sh"));
        let (agent, second) = (unit("c", "/k3s agent"), unit("d", "/opt/k3s server"));
        let shell = Definition {
            name: "e".to_owned(),
            exec_start: ["/bin/sh", "-c", "exec /opt/k3s server -d /x"].map(str::to_owned).to_vec(),
            ..Definition::default()
        };
        let select = |units: &[&Definition]| {
            let units: Vec<Definition> = units.iter().map(|u| (*u).clone()).collect();
            UnitAnswer::from_units(&units, &K3S)
        };
        let is = |units: &[&Definition], name: &str| matches!(select(units), UnitAnswer::Found(d) if d.name == name);
        let unknown = |units: &[&Definition], text: &str| matches!(select(units), UnitAnswer::Unknown(why) if why.contains(text));
        assert!(is(&[&other, &agent, &server], "a"));
        assert!(is(&[&other, &agent, &shell], "c"));
        assert!(unknown(&[&server, &agent, &second], "(a, d)"));
        assert!(unknown(&[&other, &shell], "e seems"));
        assert_eq!(select(&[&other]), UnitAnswer::Absent);
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

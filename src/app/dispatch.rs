// SPDX-License-Identifier: Apache-2.0
//! The command line of the program: `k3s-snapshot COMMAND`, or one of the names `k3s-snapshot-COMMAND` that link to it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ArgMatches;

use super::command::Command;
use super::{generator, run};
use crate::cli;
use crate::error::Kind;
use crate::host::{aside, signals};
use crate::output::render;

/// The name of the program, and the beginning of the names that link to it.
const PROGRAM: &str = "k3s-snapshot";

/// A command as the command line knows it.
struct Entry {
    name: &'static str,
    command: fn() -> clap::Command,
    execute: fn(&ArgMatches) -> ExitCode,
}

const fn entry<C: Command>() -> Entry {
    Entry { name: C::NAME.as_str(), command: C::command, execute: run::execute::<C> }
}

/// Every command, in the order of the help.
const COMMANDS: &[Entry] = &[
    entry::<cli::Save>(),
    entry::<cli::List>(),
    entry::<cli::Status>(),
    entry::<cli::Verify>(),
    entry::<cli::Prune>(),
    entry::<cli::Delete>(),
    entry::<cli::Restore>(),
    entry::<cli::Rebuild>(),
    entry::<cli::Kit>(),
    entry::<cli::Fetch>(),
    entry::<cli::CheckS3>(),
];

/// The whole command line, for parsing and for the tests of documents and completions.
pub fn command_line() -> clap::Command {
    let root = clap::Command::new(PROGRAM)
        .version(env!("CARGO_PKG_VERSION"))
        .about("Verified snapshots of the datastore of K3s: save, list, verify, prune, delete and restore")
        .after_help("Run 'k3s-snapshot COMMAND --help' for the options of a command. See k3s-snapshot(8).")
        .propagate_version(true)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(false)
        .subcommand_value_name("COMMAND")
        .subcommand_help_heading("Commands");
    COMMANDS.iter().fold(root, |root, entry| root.subcommand((entry.command)().name(entry.name)))
}

/// Runs the command that the arguments, or the name of the program, select.
pub fn main() -> ExitCode {
    let mut args: Vec<OsString> = std::env::args_os().collect();
    signals::block_file_size_signal();
    // The helper processes of a run of K3s aside are this program.
    if let Some(code) = aside::exec_helper(&args) {
        return code;
    }
    if args
        .first()
        .is_some_and(|called| Path::new(called).file_name() == Some(OsStr::new(generator::PROGRAM)))
    {
        return generator::main(args.into_iter().skip(1).map(PathBuf::from).collect());
    }
    if let Some(name) = args.first().and_then(|called| linked_command(called.as_ref())) {
        if let Some(called) = args.first_mut() {
            *called = PROGRAM.into();
        }
        args.insert(1, name.into());
    }
    let matches = match command_line().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(e) => {
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { Kind::Usage.exit_code() } else { 0 });
        }
    };
    let selected = matches
        .subcommand()
        .and_then(|(name, matches)| Some((COMMANDS.iter().find(|entry| entry.name == name)?, matches)));
    match selected {
        Some((entry, matches)) => (entry.execute)(matches),
        None => {
            let _ = render::text(&command_line().render_help().to_string());
            ExitCode::from(Kind::Usage.exit_code())
        }
    }
}

/// The command in a name like `/usr/bin/k3s-snapshot-save`.
fn linked_command(called: &Path) -> Option<&'static str> {
    let name = called.file_name()?.to_str()?.strip_prefix(PROGRAM)?.strip_prefix('-')?;
    COMMANDS.iter().map(|entry| entry.name).find(|known| *known == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_lines_are_sound() {
        command_line().debug_assert();
    }

    #[test]
    fn a_link_selects_the_command_of_its_name() {
        for (called, command) in [
            ("/usr/bin/k3s-snapshot-save", Some("save")),
            ("k3s-snapshot-restore", Some("restore")),
            ("k3s-snapshot", None),
            ("k3s-snapshot-", None),
            ("k3s-snapshot-other", None),
            ("other-save", None),
        ] {
            assert_eq!(linked_command(Path::new(called)), command, "{called}");
        }
    }
}

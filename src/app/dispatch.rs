// SPDX-License-Identifier: Apache-2.0
//! All verbs are one program file under several names, as most of what they are made of is the same. Which one it is, the
//! name tells that it is called by.

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use super::restore::{RESTORE, child};
use super::{DELETE, LIST, PRUNE, SAVE, VERIFY};
use crate::app::run;
use crate::cli;
use crate::error::Kind;
use crate::output::log as stderr;

/// What the names of all verbs begin with.
const PROGRAM: &str = "k3s-snapshot";

/// Runs the verb that it is called by, and where that is not the name of one, the verb that its file is called.
pub fn main() -> ExitCode {
    let called = std::env::args_os().next().unwrap_or_default();
    let file = || std::env::current_exe().unwrap_or_default();
    named(called.as_ref()).or_else(|| named(&file())).unwrap_or_else(|| {
        stderr::start(PROGRAM, true, false);
        let names: Vec<String> = cli::commands().iter().map(|c| c.get_name().to_owned()).collect();
        log::error!("it is not said what to do: call this program by one of its names, {}", names.join(", "));
        ExitCode::from(Kind::Usage.exit_code())
    })
}

fn named(path: &Path) -> Option<ExitCode> {
    let verb = path.file_name().and_then(OsStr::to_str)?.strip_prefix(PROGRAM)?.strip_prefix('-')?;
    Some(match verb {
        "save" => run::main(&SAVE),
        "list" => run::main(&LIST),
        "verify" => run::main(&VERIFY),
        "prune" => run::main(&PRUNE),
        "delete" => run::main(&DELETE),
        // The process that is to become K3s begins as one of ours.
        "restore" => child().unwrap_or_else(|| run::main(&RESTORE)),
        _ => return None,
    })
}

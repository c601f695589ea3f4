// SPDX-License-Identifier: Apache-2.0
//! The log of those who run before there is a journal: warnings and errors go to the kernel's log, from where the journal
//! takes them later. Else to stderr.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use log::{Level, LevelFilter, Log, Metadata, Record};

use super::log::printable;

const KMSG: &str = "/dev/kmsg";
/// syslog's number for services, in front of the three bits of the priority.
const DAEMON: u8 = 3 << 3;

struct Kernel {
    program: &'static str,
}

/// Starts the log of `program`.
pub fn start(program: &'static str) {
    log::set_max_level(LevelFilter::Warn);
    let _ = log::set_boxed_logger(Box::new(Kernel { program }));
}

impl Log for Kernel {
    fn enabled(&self, metadata: &Metadata) -> bool {
        metadata.target().starts_with(env!("CARGO_CRATE_NAME"))
    }

    fn log(&self, record: &Record) {
        if self.enabled(record.metadata()) {
            let (priority, word) = if record.level() == Level::Error { (3, "error") } else { (4, "warning") };
            let text = format!("{word}: {}", printable(&record.args().to_string()));
            // A container has a pipe there that perhaps nobody reads: never wait.
            let kernel = OpenOptions::new().write(true).custom_flags(nix::libc::O_NONBLOCK).open(KMSG);
            // One write is one entry.
            let line = format!("<{}>{}[{}]: {text}\n", DAEMON | priority, self.program, std::process::id());
            if kernel.and_then(|mut kernel| kernel.write_all(line.as_bytes())).is_err() {
                let _ = writeln!(std::io::stderr().lock(), "{text}");
            }
        }
    }

    fn flush(&self) {}
}

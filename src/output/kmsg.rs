// SPDX-License-Identifier: Apache-2.0
//! The log of a program that runs before the journal: warnings and errors go to the kernel log, from which the journal
//! takes them later, else to stderr.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use log::{Level, LevelFilter, Log, Metadata, Record};

use super::escape::printable;

const KMSG: &str = "/dev/kmsg";
/// The syslog facility of services, before the three bits of the priority.
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
            // In a container this may be a pipe without a reader: never wait.
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

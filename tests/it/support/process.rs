// SPDX-License-Identifier: Apache-2.0
//! Child processes that cannot outlive the tests: each is killed by the kernel when this process dies, and by `Drop`
//! before that. Knows nothing of etcd or of our programs.

use std::io;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, mpsc};
use std::time::{Duration, Instant};

type Order = (Command, mpsc::Sender<io::Result<Child>>);

/// The kernel's "kill me when my parent dies" means the parent's *thread*, and a test is a thread. So one thread that
/// lives as long as the process starts all children.
static NURSE: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
    let (orders, inbox) = mpsc::channel::<Order>();
    std::thread::spawn(move || {
        for (mut command, answer) in inbox {
            let _ = answer.send(command.spawn());
        }
    });
    orders
});

/// A running child; dropping it kills it and waits for its end.
#[derive(Debug)]
pub(crate) struct Running(Child);

/// A command for `program` that ends with this process.
pub(crate) fn tied(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program).stdin(Stdio::null());
    command
}

/// Starts the command.
pub(crate) fn spawn(command: Command) -> Running {
    let (answer, outcome) = mpsc::channel();
    let shown = format!("{command:?}");
    NURSE.send((command, answer)).unwrap();
    Running(outcome.recv().unwrap().unwrap_or_else(|e| panic!("starting {shown}: {e}")))
}

impl Running {
    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Sends a signal, by its name without SIG.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("sh").args(["-c", "kill -\"$1\" \"$2\"", "sh", name, &pid]).status().unwrap();
        assert!(sent.success(), "sending SIG{name} to {pid}: {sent}");
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap()
    }

    /// Waits for the end, at most `limit`.
    pub(crate) fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + limit;
        loop {
            match self.ended() {
                None if Instant::now() < end => std::thread::sleep(Duration::from_millis(2)),
                outcome => return outcome,
            }
        }
    }

    /// SIGKILL, and waits for the end.
    pub(crate) fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

// SPDX-License-Identifier: Apache-2.0
//! The journal by its own protocol: lines with priority and identifier, and one event with a message id at the end.
//!
//! Only if systemd connected stderr to the journal. If anything fails here, the caller prints to stderr instead.

use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use super::escape::printable;
use crate::model::event::Event;

/// The socket for entries.
const SOCKET: &str = "/run/systemd/journal/socket";
/// The socket for varlink calls.
const VARLINK_SOCKET: &str = "/run/systemd/journal/io.systemd.journal";
/// Time limit of a varlink call.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The syslog facility of services.
const DAEMON: &str = "3";

/// The identifier of the lines that K3s prints while this program runs it.
const K3S_IDENTIFIER: &str = "k3s-aside";

static JOURNAL: OnceLock<Journal> = OnceLock::new();
static K3S_JOURNAL: OnceLock<Option<Journal>> = OnceLock::new();

/// The connection to the journal.
#[derive(Debug)]
struct Journal {
    socket: UnixDatagram,
    identifier: String,
}

/// Connects, if stderr is connected to the journal. `identifier` is the name of this program.
pub fn connect(identifier: &str) {
    if stderr_is_journal() {
        let socket = UnixDatagram::unbound().and_then(|s| s.connect(SOCKET).map(|()| s));
        if let Ok(socket) = socket {
            let _ = JOURNAL.set(Journal { socket, identifier: identifier.to_owned() });
        }
    }
}

/// Whether stderr is the stream that systemd connected: the variable alone is inherited by every child of a shell.
pub fn stderr_is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    std::fs::metadata("/proc/self/fd/2").is_ok_and(|m| stream == format!("{}:{}", m.dev(), m.ino()))
}

/// Sends a line. False if it must be printed instead.
pub fn line(priority: u8, text: &str) -> bool {
    JOURNAL.get().is_some_and(|j| j.send(priority, text, &[]).is_ok())
}

/// Whether stderr is connected to the journal.
pub fn is_connected() -> bool {
    JOURNAL.get().is_some()
}

/// Sends a line of K3s that this program runs, wherever stderr goes. False if it was not sent.
pub fn k3s_line(text: &str) -> bool {
    let journal = K3S_JOURNAL.get_or_init(|| {
        let socket = UnixDatagram::unbound().ok()?;
        socket.connect(SOCKET).ok()?;
        // A journal that does not read must not stop K3s. The file of the log has every line.
        socket.set_nonblocking(true).ok()?;
        Some(Journal { socket, identifier: K3S_IDENTIFIER.to_owned() })
    });
    journal.as_ref().is_some_and(|j| j.send(7, text, &[]).is_ok())
}

/// Sends the event of a finished run. False if its text must be printed instead.
pub fn event(event: &Event) -> bool {
    let Some(journal) = JOURNAL.get() else { return false };
    let mut fields = vec![("MESSAGE_ID", event.id.to_owned())];
    fields.extend_from_slice(&event.fields);
    journal.send(event.priority, &event.text, &fields).is_ok()
}

/// Waits until the journal has read the entries: it looks up the process that sent them, which must still exist.
pub fn sync() {
    if JOURNAL.get().is_some() {
        let _ = varlink_synchronize(Path::new(VARLINK_SOCKET));
    }
}

fn varlink_synchronize(socket: &Path) -> io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(b"{\"method\":\"io.systemd.Journal.Synchronize\"}\0")?;
    let mut answer = [0; 256];
    while stream.read(&mut answer)? > 0 && !answer.contains(&0) {}
    Ok(())
}

impl Journal {
    fn send(&self, priority: u8, text: &str, fields: &[(&str, String)]) -> io::Result<()> {
        let mut entry = Vec::new();
        put(&mut entry, "PRIORITY", &priority.to_string());
        put(&mut entry, "SYSLOG_FACILITY", DAEMON);
        put(&mut entry, "SYSLOG_IDENTIFIER", &self.identifier);
        put(&mut entry, "MESSAGE", &printable(text));
        fields.iter().for_each(|(name, value)| put(&mut entry, name, &printable(value)));
        self.socket.send(&entry).map(drop)
    }
}

/// Adds a field. A value without line breaks ends with its line.
fn put(entry: &mut Vec<u8>, name: &str, value: &str) {
    entry.extend_from_slice(name.as_bytes());
    entry.push(b'=');
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_forge_a_field_of_an_entry() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let journal = Journal { socket: ours, identifier: "k3s-snapshot-save".into() };
        journal.send(3, "a\nPRIORITY=0", &[("STEP", "x\ny".to_owned())]).unwrap();
        let mut got = [0; 1024];
        let n = theirs.recv(&mut got).unwrap();
        assert_eq!(
            std::str::from_utf8(&got[..n]).unwrap(),
            "PRIORITY=3\nSYSLOG_FACILITY=3\nSYSLOG_IDENTIFIER=k3s-snapshot-save\nMESSAGE=a\\nPRIORITY=0\nSTEP=x\\ny\n"
        );
    }

    #[test]
    fn a_varlink_call_ends_with_the_answer_and_fails_without_a_journal() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("varlink");
        assert!(varlink_synchronize(&path).is_err());
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let journald = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut got = [0; 256];
            let n = stream.read(&mut got).unwrap();
            stream.write_all(b"{}\0").unwrap();
            String::from_utf8_lossy(&got[..n]).into_owned()
        });
        varlink_synchronize(&path).unwrap();
        assert!(journald.join().unwrap().contains("Synchronize"));
    }
}

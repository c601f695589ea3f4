// SPDX-License-Identifier: Apache-2.0
//! The journal by its own protocol: lines with priority and identifier, and one event with a message id at the end.
//!
//! Only where systemd connected stderr to the journal. Whatever goes wrong here, the caller prints to stderr instead.

use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use super::log::printable;
use crate::model::event::Event;

/// Where the journal takes entries.
const SOCKET: &str = "/run/systemd/journal/socket";
/// Where it takes orders.
const ORDERS: &str = "/run/systemd/journal/io.systemd.journal";
/// How long an order may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// syslog's number for services.
const DAEMON: &str = "3";

static JOURNAL: OnceLock<Journal> = OnceLock::new();

/// The way to the journal.
#[derive(Debug)]
struct Journal {
    socket: UnixDatagram,
    identifier: String,
}

/// Connects, if stderr leads to the journal. `identifier` is the name of this program.
pub fn connect(identifier: &str) {
    if leads_there() {
        let socket = UnixDatagram::unbound().and_then(|s| s.connect(SOCKET).map(|()| s));
        if let Ok(socket) = socket {
            let _ = JOURNAL.set(Journal { socket, identifier: identifier.to_owned() });
        }
    }
}

/// Whether stderr is the stream that systemd connected: the variable is inherited by a shell and what it redirects.
pub fn leads_there() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    std::fs::metadata("/proc/self/fd/2").is_ok_and(|m| stream == format!("{}:{}", m.dev(), m.ino()))
}

/// A line. False where it has to be printed instead.
pub fn line(priority: u8, text: &str) -> bool {
    JOURNAL.get().is_some_and(|j| j.send(priority, text, &[]).is_ok())
}

/// The event that ends a run. False where its text has to be printed instead.
pub fn event(event: &Event) -> bool {
    let Some(journal) = JOURNAL.get() else { return false };
    let mut fields = vec![("MESSAGE_ID", event.id.to_owned())];
    fields.extend_from_slice(&event.fields);
    journal.send(event.priority, &event.text, &fields).is_ok()
}

/// Waits until the journal has read what was sent: it looks up whose entries they are, and nobody can be looked up who
/// is gone.
pub fn settle() {
    if JOURNAL.get().is_some() {
        let _ = order(Path::new(ORDERS));
    }
}

fn order(socket: &Path) -> io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
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

/// A field. A value without line breaks ends with its line.
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
    fn an_entry_is_fields_by_lines_and_no_value_can_forge_one() {
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
    fn an_order_ends_with_its_answer_and_with_a_journal_that_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("orders");
        assert!(order(&path).is_err());
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let journald = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut got = [0; 256];
            let n = stream.read(&mut got).unwrap();
            stream.write_all(b"{}\0").unwrap();
            String::from_utf8_lossy(&got[..n]).into_owned()
        });
        order(&path).unwrap();
        assert!(journald.join().unwrap().contains("Synchronize"));
    }
}

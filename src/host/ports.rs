// SPDX-License-Identifier: Apache-2.0
//! The processes that listen on a TCP port, from the tables of the kernel for this network namespace. Changes nothing.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use anyhow::{Context, Result};

use super::open_files::if_shown;

/// The code of the kernel for a socket that listens.
const LISTENS: &str = "0A";

/// A process that listens on a port. The process is unknown if it is hidden from this one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener {
    /// The port.
    pub port: u16,
    /// The process; `None` if it is hidden from this one.
    pub pid: Option<u32>,
    /// The name of the program, as `ps` shows it; empty if the process is hidden.
    pub program: String,
    /// The control group, such as `/system.slice/x.service`; empty if the process is hidden.
    pub control_group: String,
}

impl Listener {
    /// Whether the process is in this control group or in one below it. An empty name contains no process.
    pub fn is_in(&self, control_group: &str) -> bool {
        let group = control_group.trim_end_matches('/');
        let below = self.control_group.strip_prefix(group);
        !group.is_empty() && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// The processes that listen on one of these ports, on any address. Sorted, each pair of process and port once.
///
/// # Errors
/// If the tables of the kernel cannot be read.
pub fn listeners(ports: &[u16]) -> Result<Vec<Listener>> {
    // By the number of the socket, the only key that the two tables share.
    let mut sockets = BTreeMap::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        match std::fs::read_to_string(table) {
            Ok(text) => sockets.extend(listening(&text).filter(|(_, port)| ports.contains(port))),
            // A kernel without IPv6 has no such table.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e).with_context(|| format!("reading '{table}'")),
        }
    }
    let mut all = Vec::new();
    if sockets.is_empty() {
        return Ok(all);
    }
    let mut hidden = sockets.clone();
    owners(|pid, folder, socket| {
        if let Some(port) = sockets.get(&socket) {
            hidden.remove(&socket);
            let text = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap_or_default();
            let control_group = group_in(&text("cgroup")).to_owned();
            all.push(Listener {
                port: *port,
                pid: Some(pid),
                program: text("comm").trim_end().to_owned(),
                control_group,
            });
        }
    })
    .context("finding the processes that listen")?;
    all.extend(hidden.into_values().map(|port| Listener {
        port,
        pid: None,
        program: String::new(),
        control_group: String::new(),
    }));
    all.sort();
    all.dedup();
    Ok(all)
}

/// The sockets that listen, with their ports.
fn listening(table: &str) -> impl Iterator<Item = (u64, u16)> {
    table.lines().skip(1).filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (_, port) = words.next()?.rsplit_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        (words.nth(1)? == LISTENS).then_some(())?;
        Some((words.nth(5)?.parse().ok()?, port))
    })
}

/// Calls `found` for every open socket of every process.
fn owners(mut found: impl FnMut(u32, &Path, u64)) -> io::Result<()> {
    for process in std::fs::read_dir("/proc")? {
        let process = process?;
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let folder = process.path();
        let Some(handles) = if_shown(std::fs::read_dir(folder.join("fd")))? else { continue };
        for handle in handles {
            let Some(handle) = if_shown(handle)? else { continue };
            let Some(target) = if_shown(std::fs::read_link(handle.path()))? else { continue };
            let socket =
                target.to_str().and_then(|t| t.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
            if let Some(socket) = socket {
                found(pid, &folder, socket);
            }
        }
    }
    Ok(())
}

/// The control group that systemd set: the one of the unified hierarchy, else the one of the hierarchy `name=systemd`.
fn group_in(text: &str) -> &str {
    let of = |name: &str| text.lines().find_map(|line| line.split_once(':')?.1.strip_prefix(name));
    let unified = of(":").unwrap_or_default();
    match of("name=systemd:") {
        Some(legacy) if ["", "/"].contains(&unified) => legacy,
        _ => unified,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_table_is_read_and_only_those_who_listen_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: 0100007F:094B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0\n   1: 0100007F:094B 0100007F:1234 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100 0 0 10 0\n   2: 00000000000000000000000000000000:192B 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 100 0 0 10 0\n garbage\n";
        assert_eq!(listening(table).collect::<Vec<_>>(), [(4711, 2379), (4713, 6443)]);
    }

    #[test]
    fn who_listens_is_found_and_who_has_stopped_is_not() {
        // A child of another test may hold a copy for the moment before it becomes another program.
        let ours = |port| {
            let mut all = listeners(&[port, 1]).unwrap();
            all.retain(|l| l.pid == Some(std::process::id()));
            all
        };
        let four = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = four.local_addr().unwrap().port();
        let all = ours(port);
        let [one] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!(one.port, port);
        assert!(!one.program.is_empty());
        let shared = four.try_clone().unwrap();
        assert_eq!(ours(port).len(), 1, "two handles of one process are one listener");
        drop((four, shared));
        assert_eq!(ours(port), []);
        if let Ok(six) = TcpListener::bind("[::1]:0") {
            let port = six.local_addr().unwrap().port();
            assert_eq!(ours(port).len(), 1);
        }
    }

    #[test]
    fn a_control_group_holds_those_below_it_and_no_neighbour() {
        let unified = "0::/system.slice/k3s.service/init\n";
        let hybrid = "12:memory:/a\n1:name=systemd:/system.slice/k3s.service\n0::/\n";
        assert_eq!(group_in(unified), "/system.slice/k3s.service/init");
        assert_eq!(group_in(hybrid), "/system.slice/k3s.service");
        assert_eq!(group_in(""), "");
        let listener = |group: &str| Listener {
            port: 1,
            pid: None,
            program: String::new(),
            control_group: group.to_owned(),
        };
        for (group, of, want) in [
            ("/system.slice/k3s.service", "/system.slice/k3s.service", true),
            ("/system.slice/k3s.service/init", "/system.slice/k3s.service", true),
            ("/system.slice/k3s.service-b", "/system.slice/k3s.service", false),
            ("/system.slice/etcd.service", "/system.slice/k3s.service", false),
            ("/anything", "", false),
            ("", "", false),
            ("/anything", "/", false),
        ] {
            assert_eq!(listener(group).is_in(of), want, "{group} in {of}");
        }
    }
}

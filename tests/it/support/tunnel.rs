// SPDX-License-Identifier: Apache-2.0
//! A proxy that requires a user and a password, and connects every tunnel to one port, whatever the host name: so a store
//! can have a name that does not exist.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub(crate) struct Tunnel {
    pub(crate) port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Tunnel {
    /// `who` is `user:password`.
    pub(crate) fn to(server: u16, who: &str) -> Tunnel {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (known, wanted) = (Arc::clone(&asked), format!("Basic {}", STANDARD.encode(who)));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (known, wanted) = (Arc::clone(&known), wanted.clone());
                std::thread::spawn(move || serve(client, server, &wanted, &known));
            }
        });
        Tunnel { port, asked }
    }

    /// The hosts and ports that were requested, each once.
    pub(crate) fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap().clone();
        asked.dedup();
        asked
    }
}

fn serve(client: TcpStream, server: u16, wanted: &str, asked: &Mutex<Vec<String>>) -> Option<()> {
    let mut reader = BufReader::new(client.try_clone().ok()?);
    let (mut first, mut allowed) = (String::new(), false);
    reader.read_line(&mut first).ok()?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("proxy-authorization") => {
                allowed = value == wanted
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut client = client;
    let target = first.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next());
    let (Some(target), true) = (target, allowed) else {
        let _ = client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n");
        return None;
    };
    asked.lock().unwrap().push(target.to_owned());
    let server = TcpStream::connect(("127.0.0.1", server)).ok()?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").ok()?;
    let (mut there, mut back) = (server.try_clone().ok()?, client.try_clone().ok()?);
    let mut from_server = server;
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_server, &mut back);
        let _ = back.shutdown(Shutdown::Both);
    });
    let _ = std::io::copy(&mut reader, &mut there);
    let _ = there.shutdown(Shutdown::Both);
    Some(())
}

// SPDX-License-Identifier: Apache-2.0
//! A TCP proxy in front of a server: it forwards, slows down, stops or cuts, also in the middle of a response. It never
//! reads the content. A new fault is one more `Mode`.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the proxy does with what it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Passes everything on.
    Forward,
    /// Accepts connections and passes nothing on, in either direction, until the mode changes.
    Stall,
    /// Passes on at most this many bytes a second from the server in each connection.
    Rate(u64),
    /// Passes on this many more bytes from the server, over all connections, then nothing.
    StallAfter(u64),
    /// Passes on this many more bytes from the server, over all connections, then cuts.
    CutAfter(u64),
    /// Cuts a connection when it opens or sends something.
    Cut,
}

#[derive(Debug)]
struct State {
    mode: Mode,
    streams: Vec<TcpStream>,
    from_server: u64,
    connections: usize,
    closed: bool,
}

/// The proxy; dropping it cuts everything.
#[derive(Debug)]
pub(crate) struct Proxy {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Proxy {
    /// A proxy to this port of 127.0.0.1, on a port of its own.
    pub(crate) fn to(server: u16, mode: Mode) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = State { mode, streams: Vec::new(), from_server: 0, connections: 0, closed: false };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if shared.lock().unwrap().closed {
                    return;
                }
                if let (Ok(client), Ok(server)) = (client, TcpStream::connect(("127.0.0.1", server))) {
                    accept(&shared, client, server);
                }
            }
        });
        Proxy { port, state }
    }

    /// The port it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Changes what it does, also with the connections it has.
    pub(crate) fn set(&self, mode: Mode) {
        self.state.lock().unwrap().mode = mode;
    }

    /// Cuts all connections now; new ones are treated as the mode says.
    pub(crate) fn cut_now(&self) {
        for stream in self.state.lock().unwrap().streams.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// How many bytes from the server it has passed on.
    #[allow(clippy::wrong_self_convention, reason = "bytes that came from the server; nothing is converted")]
    pub(crate) fn from_server(&self) -> u64 {
        self.state.lock().unwrap().from_server
    }

    /// How many connections it has seen.
    pub(crate) fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.lock().unwrap().closed = true;
        self.cut_now();
        // Wakes the listening thread, which then ends.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn accept(state: &Arc<Mutex<State>>, client: TcpStream, server: TcpStream) {
    let (client2, server2) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    {
        let mut now = state.lock().unwrap();
        now.connections += 1;
        now.streams.push(client.try_clone().unwrap());
        now.streams.push(server.try_clone().unwrap());
    }
    let (up, down) = (Arc::clone(state), Arc::clone(state));
    std::thread::spawn(move || pump(&up, client, server, false));
    std::thread::spawn(move || pump(&down, server2, client2, true));
}

/// Passes bytes on in one direction until an end is closed.
fn pump(state: &Mutex<State>, mut from: TcpStream, mut to: TcpStream, from_server: bool) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        let Some(allowed) = allowance(state, n, from_server) else { break };
        if to.write_all(&buffer[..allowed]).is_err() || allowed < n {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// How many of `n` bytes may pass, after the necessary wait. Fewer than `n`, or none, means to cut.
fn allowance(state: &Mutex<State>, n: usize, from_server: bool) -> Option<usize> {
    loop {
        let mut now = state.lock().unwrap();
        if now.closed {
            return None;
        }
        let passed = match now.mode {
            Mode::Forward => n,
            Mode::Rate(rate) if from_server => {
                drop(now);
                std::thread::sleep(Duration::from_secs_f64(n as f64 / rate as f64));
                state.lock().unwrap().from_server += n as u64;
                return Some(n);
            }
            Mode::StallAfter(left) if from_server && left >= n as u64 => {
                now.mode = Mode::StallAfter(left - n as u64);
                n
            }
            Mode::CutAfter(left) if from_server => {
                let passed = n.min(usize::try_from(left).unwrap_or(n));
                now.mode = Mode::CutAfter(left - passed as u64);
                passed
            }
            Mode::Rate(_) | Mode::CutAfter(_) => n,
            Mode::StallAfter(_) if !from_server => n,
            Mode::Cut => return None,
            Mode::Stall | Mode::StallAfter(_) => {
                drop(now);
                std::thread::sleep(Duration::from_millis(10));
                continue;
            }
        };
        if from_server {
            now.from_server += passed as u64;
        }
        return Some(passed);
    }
}

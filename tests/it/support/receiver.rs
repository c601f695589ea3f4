// SPDX-License-Identifier: Apache-2.0
//! An HTTP server that receives pings and reports. It records each request and answers as it is set to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the server does with a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    /// This status.
    Status(u16),
    /// A redirect to this URL.
    Redirect(String),
    /// Nothing, for longer than any client waits.
    Hang,
    /// Accepts a tunnel and serves what comes through it.
    Tunnel,
}

/// A request that was received.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// Method and target.
    pub(crate) line: String,
    pub(crate) body: String,
}

/// The server. It ends with the process of the tests.
#[derive(Debug, Clone)]
pub(crate) struct Receiver {
    port: u16,
    seen: Arc<Mutex<Vec<Received>>>,
    answers: Arc<Mutex<Vec<Answer>>>,
}

impl Receiver {
    /// A server that answers each request with 200.
    pub(crate) fn start() -> Receiver {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let receiver = Receiver { port, seen: Arc::default(), answers: Arc::default() };
        let shared = receiver.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = shared.clone();
                std::thread::spawn(move || drop(shared.serve(client)));
            }
        });
        receiver
    }

    /// The answers to the next requests; the last one is for all that follow.
    pub(crate) fn answers(&self, answers: &[Answer]) {
        *self.answers.lock().unwrap() = answers.to_vec();
    }

    /// The URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The requests since the last call, in order.
    pub(crate) fn take(&self) -> Vec<Received> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    /// Method and target of the requests since the last call, in order.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.take().into_iter().map(|seen| seen.line).collect()
    }

    fn serve(&self, client: TcpStream) -> std::io::Result<()> {
        let (mut reader, mut client) = (BufReader::new(client.try_clone()?), client);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let mut length = 0;
            loop {
                let mut header = String::new();
                if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
                    break;
                }
                if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body)?;
            let line = line.trim().trim_end_matches(" HTTP/1.1").to_owned();
            if line.is_empty() {
                return Ok(());
            }
            let body = String::from_utf8(body).unwrap();
            self.seen.lock().unwrap().push(Received { line, body });
            let answer = {
                let mut answers = self.answers.lock().unwrap();
                match answers.len() {
                    0 => Answer::Status(200),
                    1 => answers[0].clone(),
                    _ => answers.remove(0),
                }
            };
            let end = "content-length: 0\r\nconnection: close\r\n\r\n";
            return match answer {
                Answer::Status(status) => write!(client, "HTTP/1.1 {status} x\r\n{end}"),
                Answer::Redirect(to) => write!(client, "HTTP/1.1 301 x\r\nlocation: {to}\r\n{end}"),
                Answer::Hang => {
                    std::thread::sleep(Duration::from_secs(60));
                    Ok(())
                }
                Answer::Tunnel => {
                    write!(client, "HTTP/1.1 200 x\r\n\r\n")?;
                    continue;
                }
            };
        }
    }
}

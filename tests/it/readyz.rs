// SPDX-License-Identifier: Apache-2.0
//! The readiness of K3s over real TLS: openssl is the API server. It requires a client certificate and answers with the
//! content of a file.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use k3s_snapshot::error::{Kind, kind_of};
use k3s_snapshot::host::readyz::{Ready, readyz, version};

use crate::support::certs::Certs;
use crate::support::eventually;
use crate::support::k3s_root::{K3sRoot, Layout};
use crate::support::ports::{Ports, free_port};
use crate::support::process::{self, Running};
use crate::support::require::{self, require};

fn at(port: u16) -> std::net::SocketAddr {
    (std::net::Ipv4Addr::LOCALHOST, port).into()
}

const WAIT: Duration = Duration::from_secs(5);

/// The server. Its certificates are those of etcd, which are made in the same way.
struct Server {
    root: K3sRoot,
    port: u16,
    _openssl: Running,
}

impl Server {
    fn start() -> Server {
        let root = K3sRoot::new(&Layout::default(), Ports::free());
        let (port, certs) = (free_port(), root.certs());
        std::fs::create_dir(root.path().join("answers")).unwrap();
        let mut openssl = process::tied("openssl");
        openssl.current_dir(root.path().join("answers"));
        openssl.args(["s_server", "-quiet", "-HTTP", "-Verify", "3", "-verify_return_error", "-CAfile"]);
        openssl.arg(certs.ca()).arg("-cert").arg(certs.file("server-client.crt"));
        openssl.arg("-key").arg(certs.file("server-client.key")).args(["-accept", &port.to_string()]);
        openssl.stdout(Stdio::null()).stderr(Stdio::null());
        let openssl = process::spawn(openssl);
        eventually("openssl listens", Duration::from_secs(10), || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Server { root, port, _openssl: openssl }
    }

    fn answers(&self, status: &str, body: &str) {
        self.answers_at("readyz", status, body);
    }

    fn answers_at(&self, path: &str, status: &str, body: &str) {
        let text = format!("HTTP/1.0 {status}\r\nContent-Type: text/plain\r\n\r\n{body}");
        std::fs::write(self.root.path().join("answers").join(path), text).unwrap();
    }

    fn ask(&self) -> Ready {
        ask(self.port, &self.root.certs())
    }
}

fn pair(certs: &Certs) -> (PathBuf, PathBuf) {
    (certs.file("client.crt"), certs.file("client.key"))
}

fn ask(port: u16, certs: &Certs) -> Ready {
    let (cert, key) = pair(certs);
    readyz(at(port), &cert, &key, &certs.ca(), WAIT).unwrap()
}

fn reason(ready: &Ready) -> &str {
    match ready {
        Ready::NoAnswer(why) => why,
        other => panic!("it answered: {other:?}"),
    }
}

#[test]
fn server_is_ready_or_the_failed_check_is_reported() {
    require!(require::program("openssl"));
    let server = Server::start();
    server.answers("200 OK", "ok");
    assert_eq!(server.ask(), Ready::Yes);
    server.answers(
        "500 Internal Server Error",
        "[+]ping ok\n[-]etcd failed: reason withheld\nreadyz check failed\n",
    );
    assert_eq!(server.ask(), Ready::No(500, "etcd failed: reason withheld".into()));
    server.answers("401 Unauthorized", "Unauthorized\n");
    assert_eq!(server.ask(), Ready::No(401, "Unauthorized".into()));
    server.answers("302 Found\r\nLocation: https://127.0.0.1:1/", "");
    assert_eq!(server.ask(), Ready::No(302, String::new()));
    // More than is read.
    server.answers("500 Internal Server Error", &"[+]ping ok\n".repeat(20_000));
    assert!(matches!(server.ask(), Ready::No(500, _)));
}

#[test]
fn server_tells_its_version_or_there_is_none() {
    require!(require::program("openssl"));
    let server = Server::start();
    let certs = server.root.certs();
    let ask = || version(at(server.port), &pair(&certs).0, &pair(&certs).1, &certs.ca(), WAIT).ok();
    let answer =
        "{\n  \"major\": \"1\",\n  \"gitVersion\": \"v1.36.3+k3s1\",\n  \"platform\": \"linux/amd64\"\n}";
    server.answers_at("version", "200 OK", answer);
    assert_eq!(ask().as_deref(), Some("v1.36.3+k3s1"));
    let long = format!("{{\"gitVersion\": \"v1.36.3+{}\"}}", "a".repeat(100_000));
    for answer in
        ["", "Unauthorized", "{}", "{\"gitVersion\": 1}", "{\"gitVersion\": \"\\u001b[31m\"}", &long]
    {
        server.answers_at("version", "200 OK", answer);
        assert_eq!(ask(), None, "{answer:.80}");
    }
}

#[test]
fn unreachable_and_untrusted_servers_are_distinguished_from_ready_ones() {
    require!(require::program("openssl"));
    let server = Server::start();
    server.answers("200 OK", "ok");
    let other = K3sRoot::new(&Layout::default(), Ports::free());
    let (cert, key) = pair(&other.certs());

    let port = free_port();
    let closed = ask(port, &server.root.certs());
    assert!(reason(&closed).contains(&format!("127.0.0.1:{port}")), "{closed:?}");

    // Its certificate is of an authority that is not ours. Then it refuses our certificate.
    let (own_cert, own_key) = pair(&server.root.certs());
    let theirs = readyz(at(server.port), &own_cert, &own_key, &other.certs().ca(), WAIT).unwrap();
    let ours = readyz(at(server.port), &cert, &key, &server.root.certs().ca(), WAIT).unwrap();
    let reasons = [reason(&closed), reason(&theirs), reason(&ours)];
    assert!(reasons[0] != reasons[1] && reasons[1] != reasons[2] && reasons[0] != reasons[2], "{reasons:?}");

    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let (port, before) = (silent.local_addr().unwrap().port(), Instant::now());
    let mute = readyz(at(port), &own_cert, &own_key, &other.certs().ca(), Duration::from_secs(1)).unwrap();
    assert!(!reason(&mute).is_empty());
    assert!(before.elapsed() < Duration::from_secs(3));
}

/// Files that cannot be used are errors with the path, and never a panic.
#[test]
fn certificate_that_cannot_be_used_is_an_error_with_its_path() {
    let (root, other) =
        (K3sRoot::new(&Layout::default(), Ports::free()), K3sRoot::new(&Layout::default(), Ports::free()));
    let (cert, key) = pair(&root.certs());
    let ca = root.certs().ca();
    let odd = |name: &str, text: &str| {
        let file = root.path().join(name);
        std::fs::write(&file, text).unwrap();
        file
    };
    let (gone, empty) = (root.path().join("gone"), odd("empty", ""));
    let torn = odd("torn", &std::fs::read_to_string(&cert).unwrap()[..200]);
    let rubbish = odd("rubbish", "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n");
    let foreign = other.certs().file("client.key");
    let rows: [(&Path, &Path, &Path, &Path); 8] = [
        (&gone, &key, &ca, &gone),
        (&cert, &gone, &ca, &gone),
        (&cert, &key, &gone, &gone),
        (&empty, &key, &ca, &empty),
        (&torn, &key, &ca, &torn),
        (&cert, &rubbish, &ca, &rubbish),
        (&cert, &foreign, &ca, &foreign),
        (&cert, &cert, &ca, &cert),
    ];
    for (cert, key, ca, named) in rows {
        let e = readyz(at(1), cert, key, ca, WAIT).unwrap_err();
        assert!(format!("{e:#}").contains(&named.display().to_string()), "{e:#}");
        assert_eq!(kind_of(&e), Kind::Config);
    }
}

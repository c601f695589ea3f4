// SPDX-License-Identifier: Apache-2.0
//! A fault-injecting HTTP proxy in front of an S3 server. It counts requests, checks what the server does not check (a
//! checksum with each body, region, clock), lists unfinished uploads, locks objects, and fails at the n-th request.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use sha2::Sha256;

/// What is done with a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fault {
    /// An error document with this status and code, instead of the response of the server.
    Refuse(u16, &'static str),
    /// The connection is closed before the server gets the request.
    Reset,
    /// The server gets the request, but the response is lost.
    Lose,
    /// Half of the response, then the end.
    Cut,
    /// No response.
    Stall,
    /// No response, and the server does not get the request.
    Hold,
    /// Half of the body of the response, then nothing.
    Hang,
    /// The whole body of the response, slowly.
    Slow,
    /// A redirect to another host.
    Redirect,
    /// A response that is no XML and no object.
    Garbage,
    /// A web page with status 200 for every request: an endpoint that is no S3.
    Page,
    /// This document with status 200, instead of the response.
    Answer(String),
    /// The response, then the connection is closed.
    HangUp,
    /// A response of one byte at a time, without an end.
    Drip,
    /// `Expect: 100-continue` is answered with 417.
    NoExpecting,
    /// This header in the response, in place of the one of the server.
    Header(&'static str, String),
}

/// A request that was seen.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// Path and query without the parameters of the signature.
    pub(crate) target: String,
    pub(crate) headers: BTreeMap<String, String>,
    /// The session token in the URL.
    pub(crate) token: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    seen: Vec<Seen>,
    faults: BTreeMap<usize, Fault>,
    always: Option<Fault>,
    /// Upload id and key.
    uploads: BTreeMap<String, String>,
    region: String,
    /// Object Lock: each body needs a checksum.
    demanding: bool,
    /// What is refused with 403: the method, and a part of the target.
    denied: Vec<(&'static str, &'static str)>,
    /// Headers that the store refuses: name, status, code.
    unknown: Vec<(&'static str, u16, &'static str)>,
    /// Headers that are left out of its responses.
    silent: Vec<&'static str>,
    closed: bool,
    /// How many requests got no response.
    held: usize,
    /// Whether it refuses to delete many keys in one request.
    single: bool,
    /// Keys that must not be deleted, and the directory with the objects.
    locked: Option<(BTreeSet<String>, PathBuf)>,
    /// Seconds that the clock of the server is ahead.
    clock_off: i64,
}

#[derive(Debug, Clone)]
pub(crate) struct Front {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Front {
    pub(crate) fn to(server: u16) -> Front {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = State { region: "us-east-1".into(), demanding: true, ..State::default() };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.lock().unwrap().closed {
                    return;
                }
                let state = Arc::clone(&shared);
                std::thread::spawn(move || {
                    let _ = serve(&state, client, server);
                });
            }
        });
        Front { port, state }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Forgets what was seen, and fails at these requests, counted from 0.
    pub(crate) fn plan(&self, faults: &[(usize, Fault)]) {
        let mut state = self.state.lock().unwrap();
        state.seen.clear();
        state.held = 0;
        state.always = None;
        state.faults = faults.iter().cloned().collect();
    }

    /// Fails at every request.
    pub(crate) fn always(&self, fault: Fault) {
        self.plan(&[]);
        self.state.lock().unwrap().always = Some(fault);
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }

    /// The keys of unfinished uploads.
    pub(crate) fn uploads(&self) -> Vec<String> {
        self.state.lock().unwrap().uploads.values().cloned().collect()
    }

    /// Forgets the unfinished uploads.
    pub(crate) fn forget_uploads(&self) {
        self.state.lock().unwrap().uploads.clear();
    }

    /// How many requests of this plan got no response.
    pub(crate) fn held(&self) -> usize {
        self.state.lock().unwrap().held
    }

    /// From now on, a request cannot delete many keys.
    pub(crate) fn know_no_bulk(&self) {
        self.state.lock().unwrap().single = true;
    }

    /// Refuses to delete these keys, as a store with Object Lock does. The server has no locks, so deletions of many keys
    /// are done here, in the directory of its objects.
    pub(crate) fn lock(&self, keys: &[String], folder: PathBuf) {
        self.state.lock().unwrap().locked = Some((keys.iter().cloned().collect(), folder));
    }

    pub(crate) fn set_region(&self, region: &str) {
        self.state.lock().unwrap().region = region.to_owned();
    }

    /// Refuses requests of these methods whose target has this text: keys with few rights.
    pub(crate) fn deny(&self, what: &[(&'static str, &'static str)]) {
        self.state.lock().unwrap().denied = what.to_vec();
    }

    /// Refuses requests with these headers, with a status and a code.
    pub(crate) fn know_nothing_of(&self, headers: &[(&'static str, u16, &'static str)]) {
        self.state.lock().unwrap().unknown = headers.to_vec();
    }

    /// Leaves these headers out of its responses.
    pub(crate) fn keep_silent_about(&self, headers: &[&'static str]) {
        self.state.lock().unwrap().silent = headers.to_vec();
    }

    /// Sets the clock of the server ahead by this many seconds.
    pub(crate) fn set_clock(&self, off: i64) {
        self.state.lock().unwrap().clock_off = off;
    }
}

struct Request {
    method: String,
    target: String,
    headers: BTreeMap<String, String>,
    head: Vec<u8>,
}

fn read_head(reader: &mut impl BufRead) -> Option<(String, BTreeMap<String, String>, Vec<u8>)> {
    let (mut first, mut headers, mut raw) = (String::new(), BTreeMap::new(), Vec::new());
    loop {
        let mut line = Vec::new();
        if reader.read_until(b'\n', &mut line).ok()? == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        if first.is_empty() {
            first = text;
        } else if text.is_empty() {
            return Some((first, headers, raw));
        } else {
            let (name, value) = text.split_once(':')?;
            let name = name.to_ascii_lowercase();
            if !["connection", "expect", "transfer-encoding"].contains(&name.as_str()) {
                raw.extend_from_slice(&line);
            }
            headers.insert(name, value.trim().to_owned());
        }
    }
}

fn serve(state: &Mutex<State>, client: TcpStream, server: u16) -> std::io::Result<()> {
    let mut reader = BufReader::with_capacity(128 * 1024, client.try_clone()?);
    let mut client = client;
    // A TLS handshake: the response of a server of plain HTTP.
    if reader.fill_buf()?.first() == Some(&0x16) {
        client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")?;
        return Ok(());
    }
    while let Some((first, headers, head)) = read_head(&mut reader) {
        let mut words = first.split(' ');
        let request = Request {
            method: words.next().unwrap_or_default().to_owned(),
            target: words.next().unwrap_or_default().to_owned(),
            headers,
            head,
        };
        let fault = {
            let mut state = state.lock().unwrap();
            let n = state.seen.len();
            state.seen.push(Seen {
                method: request.method.clone(),
                target: shown(&request.target),
                token: request
                    .target
                    .split('&')
                    .find_map(|p| Some(p.strip_prefix("X-Amz-Security-Token=")?.to_owned())),
                headers: request.headers.clone(),
            });
            state.always.clone().or_else(|| state.faults.remove(&n))
        };
        let hangs_up = fault == Some(Fault::HangUp);
        if !one(state, &request, fault, &mut reader, &mut client, server)? || hangs_up {
            let _ = client.shutdown(Shutdown::Both);
            return Ok(());
        }
    }
    Ok(())
}

/// Whether the connection stays open.
fn one(
    state: &Mutex<State>,
    request: &Request,
    fault: Option<Fault>,
    reader: &mut BufReader<TcpStream>,
    client: &mut TcpStream,
    server: u16,
) -> std::io::Result<bool> {
    let length: u64 = request.headers.get("content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
    let asks = request.headers.get("expect").is_some_and(|e| e == "100-continue");
    match &fault {
        Some(Fault::Reset) => return Ok(false),
        Some(Fault::Hold) => {
            state.lock().unwrap().held += 1;
            std::thread::sleep(Duration::from_secs(30));
            return Ok(false);
        }
        Some(Fault::NoExpecting) if asks => {
            answer(client, 417, "", b"")?;
            return Ok(false);
        }
        Some(Fault::Drip) => {
            client.write_all(b"HTTP/1.1 200 X\r\ncontent-length: 1000000\r\n\r\n")?;
            // Longer than any test waits.
            for _ in 0..400 {
                client.write_all(b" ")?;
                std::thread::sleep(Duration::from_millis(100));
            }
            return Ok(false);
        }
        Some(Fault::Page) => {
            let type_of_page = "content-type: text/html; charset=utf-8\r\n";
            let page = b"<!doctype html><html><body>sign in</body></html>";
            if request.method == "HEAD" {
                let length = page.len();
                client.write_all(
                    format!(
                        "HTTP/1.1 200 OK\r\n{type_of_page}etag: \"5f\"\r\ncontent-length: {length}\r\n\r\n"
                    )
                    .as_bytes(),
                )?;
            } else {
                std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
                answer(client, 200, type_of_page, page)?;
            }
            return Ok(!asks);
        }
        Some(Fault::Refuse(status, code)) => {
            // Without the body, as a server that does not want it.
            if !asks {
                std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
            }
            let headless = request.method == "HEAD";
            if headless {
                client.write_all(format!("HTTP/1.1 {status} X\r\ncontent-length: 100\r\n\r\n").as_bytes())?;
            } else {
                error(client, *status, code, "as planned", "")?;
            }
            return Ok(!asks);
        }
        _ => {}
    }
    let query = |name: &str| {
        let (_, query) = request.target.split_once('?')?;
        let pair = query
            .split('&')
            .find_map(|p| p.strip_prefix(name).filter(|r| r.is_empty() || r.starts_with('=')))?;
        Some(pair.trim_start_matches('=').to_owned())
    };
    let (region, demanding, off, unknown, denied, silent) = {
        let state = state.lock().unwrap();
        let unknown = state.unknown.iter().find(|(name, ..)| request.headers.contains_key(*name)).copied();
        let denies =
            |(method, part): &&(&str, &str)| request.method == *method && request.target.contains(part);
        let denied = state.denied.iter().any(|d| denies(&d));
        (state.region.clone(), state.demanding, state.clock_off, unknown, denied, state.silent.clone())
    };
    let scope = query("X-Amz-Credential").unwrap_or_default();
    let theirs = scope.split("%2F").nth(2).unwrap_or_default().to_owned();
    let refusal = if theirs != region {
        let more = format!("<Region>{region}</Region>");
        Some((
            400,
            "AuthorizationQueryParametersError",
            format!("the region '{theirs}' is wrong; expecting '{region}'"),
            more,
        ))
    } else if let Some((name, status, code)) = unknown {
        Some((
            status,
            code,
            format!("Unsupported header '{name}' received for this API call."),
            String::new(),
        ))
    } else if denied {
        Some((403, "AccessDenied", "Access Denied".to_owned(), String::new()))
    } else if off.abs() > 900 {
        Some((403, "RequestTimeTooSkewed", "The difference is too large".to_owned(), String::new()))
    } else {
        None
    };
    if refusal.is_none() && asks {
        client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    if let Some((status, ..)) = refusal.as_ref().filter(|_| request.method == "HEAD") {
        client.write_all(format!("HTTP/1.1 {status} X\r\ncontent-length: 100\r\n\r\n").as_bytes())?;
        return Ok(true);
    }
    if let Some((status, code, text, more)) = refusal {
        if !asks {
            std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
        }
        let date = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(off);
        let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&date).unwrap();
        error_with(client, status, code, &text, &more, &format!("date: {date}\r\n"))?;
        return Ok(!asks);
    }
    // A response of this proxy: the server cannot list unfinished uploads.
    if request.method == "GET" && query("uploads").is_some() && fault.is_none() {
        let prefix = decode(&query("prefix").unwrap_or_default());
        let mut body = String::from("<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>");
        for (id, key) in state.lock().unwrap().uploads.iter().filter(|(_, k)| k.starts_with(&prefix)) {
            body.push_str(&format!(
                "<Upload><Key>{key}</Key><UploadId>{id}</UploadId><Initiated>2026-01-01T00:00:00.000Z</Initiated></Upload>"
            ));
        }
        body.push_str("</ListMultipartUploadsResult>");
        answer(client, 200, "", body.as_bytes())?;
        return Ok(true);
    }
    let deletes = request.method == "POST" && query("delete").is_some();
    let (single, locked) = {
        let state = state.lock().unwrap();
        (state.single, state.locked.clone())
    };
    if single && deletes {
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
        error(client, 501, "NotImplemented", "A header you provided implies functionality", "")?;
        return Ok(true);
    }
    if let Some((keys, folder)) = locked.filter(|_| deletes || request.method == "DELETE") {
        let mut body = String::new();
        reader.by_ref().take(length).read_to_string(&mut body)?;
        let path = decode(request.target.split('?').next().unwrap_or_default());
        let key = path.trim_start_matches('/').split_once('/').map_or("", |(_, key)| key);
        if deletes {
            answer(client, 200, "", unlocked(&body, &keys, &folder).as_bytes())?;
            return Ok(true);
        }
        if keys.contains(key) {
            error(client, 403, "AccessDenied", LOCKED, "")?;
            return Ok(true);
        }
    }
    let mut backend = TcpStream::connect(("127.0.0.1", server))?;
    backend.write_all(format!("{} {} HTTP/1.1\r\n", request.method, request.target).as_bytes())?;
    backend.write_all(&request.head)?;
    backend.write_all(b"connection: close\r\n\r\n")?;
    let (mut sha, mut md5, mut left) = (Sha256::new(), Md5::new(), length);
    let mut buf = vec![0; 128 * 1024];
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        let n = reader.read(&mut buf[..want])?;
        if n == 0 {
            return Ok(false);
        }
        sha.update(&buf[..n]);
        md5.update(&buf[..n]);
        left -= n as u64;
        if backend.write_all(&buf[..n]).is_err() {
            break; // it has already responded
        }
    }
    let sums = (STANDARD.encode(sha.finalize()), STANDARD.encode(md5.finalize()));
    let (said_sha, said_md5) =
        (request.headers.get("x-amz-checksum-sha256"), request.headers.get("content-md5"));
    let wrong = said_sha.is_some_and(|s| *s != sums.0) || said_md5.is_some_and(|s| *s != sums.1);
    let completes = request.method == "POST" && (query("uploadId").is_some() || query("uploads").is_some());
    let bodily = matches!(request.method.as_str(), "PUT" | "POST") && !completes;
    let bare = demanding && bodily && said_sha.is_none() && said_md5.is_none();
    let mut back = BufReader::new(backend);
    let Some((status, headers, raw)) = read_head(&mut back) else { return Ok(false) };
    if wrong || bare {
        let code = if wrong { "BadDigest" } else { "InvalidRequest" };
        error(client, 400, code, "Content-MD5 OR x-amz-checksum- HTTP header is required", "")?;
        return Ok(true);
    }
    let size = headers.get("content-length").and_then(|l| l.parse::<u64>().ok());
    let code: u16 = status.split(' ').nth(1).and_then(|c| c.parse().ok()).unwrap_or(0);
    let get = request.method == "GET"
        && code < 300
        && headers.get("content-type").is_none_or(|t| !t.contains("xml"));
    let no_body = request.method == "HEAD" || code == 204 || code == 304;
    let mut head = Vec::from(format!("{status}\r\n").as_bytes());
    for line in raw.split_inclusive(|b| *b == b'\n') {
        let lower = String::from_utf8_lossy(line).to_ascii_lowercase();
        let replaced = matches!(&fault, Some(Fault::Header(name, _)) if lower.starts_with(name))
            || silent.iter().any(|name| lower.starts_with(name));
        if !replaced && (no_body || get || !lower.starts_with("content-length:")) {
            head.extend_from_slice(line);
        }
    }
    if let Some(Fault::Header(name, value)) = &fault {
        head.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    if get && size.is_some() && matches!(fault, None | Some(Fault::Header(..))) {
        head.extend_from_slice(b"\r\n");
        client.write_all(&head)?;
        std::io::copy(&mut back.take(size.unwrap_or(0)), client)?;
        return Ok(true);
    }
    let mut body = Vec::new();
    if !no_body {
        if headers.get("transfer-encoding").is_some_and(|t| t.contains("chunked")) {
            body = dechunk(&mut back)?;
        } else {
            back.read_to_end(&mut body)?;
        }
    }
    let mut text = String::from_utf8_lossy(&body).into_owned();
    // The server claims that it encodes names, but does not.
    if text.contains("<EncodingType>url</EncodingType>") {
        text = text.replace("<EncodingType>url</EncodingType>", "");
        body = text.clone().into_bytes();
    }
    book(state, request, code, &text, &query("uploadId"));
    match fault {
        Some(Fault::Lose) => return Ok(false),
        Some(Fault::Stall) => {
            state.lock().unwrap().held += 1;
            std::thread::sleep(Duration::from_secs(30));
            return Ok(false);
        }
        Some(Fault::Redirect | Fault::Garbage) if request.method == "HEAD" => {
            let status = if fault == Some(Fault::Redirect) { 307 } else { 200 };
            client.write_all(format!("HTTP/1.1 {status} X\r\nlocation: http://elsewhere.example/?X-Amz-Signature=geheim\r\n\r\n").as_bytes())?;
            return Ok(false);
        }
        Some(Fault::Redirect) => {
            let more = "location: http://elsewhere.example:9000/x?X-Amz-Signature=geheim\r\n";
            error_with(
                client,
                307,
                "TemporaryRedirect",
                "elsewhere",
                "<Endpoint>elsewhere.example</Endpoint>",
                more,
            )?;
            return Ok(true);
        }
        Some(Fault::Garbage) => {
            answer(client, 200, "", b"\x00\xff<html>login please")?;
            return Ok(true);
        }
        Some(Fault::Answer(document)) => {
            answer(client, 200, "", document.as_bytes())?;
            return Ok(true);
        }
        Some(Fault::Cut | Fault::Hang) if no_body || body.is_empty() => {
            // There is only the head to cut.
            client.write_all(&head[..head.len() / 2])?;
            if fault == Some(Fault::Hang) {
                std::thread::sleep(Duration::from_secs(30));
            }
            return Ok(false);
        }
        _ => {}
    }
    if !no_body && !get {
        head.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    client.write_all(&head)?;
    if matches!(fault, Some(Fault::Cut | Fault::Hang)) {
        client.write_all(&body[..body.len() / 2])?;
        if fault == Some(Fault::Hang) {
            std::thread::sleep(Duration::from_secs(30));
        }
        return Ok(false);
    }
    let drop = if fault == Some(Fault::Slow) { body.len() / 4 + 1 } else { body.len().max(1) };
    for (i, part) in body.chunks(drop).enumerate() {
        if i > 0 {
            std::thread::sleep(Duration::from_millis(60));
        }
        client.write_all(part)?;
    }
    Ok(true)
}

/// The text of AWS.
const LOCKED: &str = "Access Denied because object protected by object lock.";

/// Deletes what is not locked. Returns the result of each key.
fn unlocked(body: &str, locked: &BTreeSet<String>, folder: &Path) -> String {
    let mut result = String::from("<DeleteResult>");
    for key in body.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next()) {
        if locked.contains(key) {
            result.push_str(&format!(
                "<Error><Key>{key}</Key><Code>AccessDenied</Code><Message>{LOCKED}</Message></Error>"
            ));
        } else {
            let _ = std::fs::remove_file(folder.join(key));
            result.push_str(&format!("<Deleted><Key>{key}</Key></Deleted>"));
        }
    }
    result + "</DeleteResult>"
}

/// Updates the list of unfinished uploads.
fn book(state: &Mutex<State>, request: &Request, status: u16, text: &str, id: &Option<String>) {
    let mut state = state.lock().unwrap();
    let between = |tag: &str| {
        let (_, rest) = text.split_once(&format!("<{tag}>"))?;
        Some(rest.split_once("</")?.0.to_owned())
    };
    if status >= 300 {
        return;
    }
    match (request.method.as_str(), id) {
        ("POST", None) => {
            if let (Some(key), Some(id)) = (between("Key"), between("UploadId")) {
                state.uploads.insert(id, key);
            }
        }
        ("POST" | "DELETE", Some(id)) if !text.contains("<Error>") => drop(state.uploads.remove(id)),
        _ => {}
    }
}

fn dechunk(reader: &mut impl BufRead) -> std::io::Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let size = usize::from_str_radix(line.trim(), 16).unwrap_or(0);
        if size == 0 {
            return Ok(all);
        }
        let start = all.len();
        all.resize(start + size, 0);
        reader.read_exact(&mut all[start..])?;
        reader.read_line(&mut String::new())?;
    }
}

fn error(client: &mut TcpStream, status: u16, code: &str, text: &str, more: &str) -> std::io::Result<()> {
    error_with(client, status, code, text, more, "")
}

fn error_with(
    client: &mut TcpStream,
    status: u16,
    code: &str,
    text: &str,
    more: &str,
    headers: &str,
) -> std::io::Result<()> {
    let body =
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{text}</Message>{more}</Error>");
    answer(client, status, headers, body.as_bytes())
}

fn answer(client: &mut TcpStream, status: u16, headers: &str, body: &[u8]) -> std::io::Result<()> {
    client.write_all(
        format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n", body.len()).as_bytes(),
    )?;
    client.write_all(body)
}

/// A target without the parameters of the signature.
fn shown(target: &str) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let rest: Vec<&str> = query.split('&').filter(|p| !p.is_empty() && !p.starts_with("X-Amz-")).collect();
    if rest.is_empty() { path.to_owned() } else { format!("{path}?{}", rest.join("&")) }
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(b) = rest.next() {
        if b == b'%' {
            let pair = [rest.next().unwrap(), rest.next().unwrap()];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&pair).unwrap(), 16).unwrap());
        } else {
            bytes.push(b);
        }
    }
    String::from_utf8(bytes).unwrap()
}

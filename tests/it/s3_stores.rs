// SPDX-License-Identifier: Apache-2.0
//! Stores that differ from the one of the tests: headers that they do not know, keys with few rights, other checksums,
//! host names, proxies. Each is the real server behind a proxy that behaves like such a store.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k3s_snapshot::error::{Code, Kind, code_of, kind_of};
use k3s_snapshot::model::s3_config::{CustomerKey, Encryption, Objects, S3Config};
use k3s_snapshot::model::snapshot::{Snapshot, State};
use k3s_snapshot::store::Store;
use k3s_snapshot::store::s3::S3;
use serde_json::Value;

use crate::conformance::{bytes, manifest, name, upload};
use crate::s3::{checks, failed_check, fails, plain, root};
use crate::support::bucket::{ACCESS, Bucket, NAME, SECRET};
use crate::support::front::Fault;
use crate::support::memory::Bytes;
use crate::support::tunnel::Tunnel;

/// In one piece, and in parts.
const BLOCKS: [usize; 2] = [4, 11_000];

fn put(store: &S3, at: u64, blocks: usize) -> anyhow::Result<Snapshot> {
    let data = Bytes(bytes(at, blocks));
    upload(store, &name("a", at), &data, &manifest(&data.0))
}

/// The evidence for the object, as its manifest has it.
fn evidence(snapshot: &Snapshot) -> Value {
    snapshot.manifest.as_ref().unwrap().other["object"]["evidence"].clone()
}

fn state_of(store: &S3, file: &str) -> State {
    store.list().unwrap().snapshots.iter().find(|s| s.file == file).unwrap().state
}

#[test]
fn headers_that_a_store_does_not_know_are_left_out() {
    let rows: [&[(&str, u16, &str)]; 6] = [
        &[
            ("x-amz-checksum-sha256", 400, "InvalidArgument"),
            ("x-amz-checksum-algorithm", 400, "InvalidArgument"),
        ],
        &[("x-amz-checksum-algorithm", 501, "NotImplemented")],
        &[("x-amz-checksum-mode", 400, "InvalidArgument")],
        &[("if-none-match", 501, "NotImplemented")],
        &[("if-none-match", 400, "InvalidRequest")],
        &[
            ("x-amz-checksum-sha256", 400, "InvalidRequest"),
            ("x-amz-checksum-algorithm", 501, "NotImplemented"),
            ("x-amz-checksum-mode", 501, "NotImplemented"),
            ("if-none-match", 501, "NotImplemented"),
        ],
    ];
    let bucket = Bucket::start();
    for (row, unknown) in (1u64..).zip(rows) {
        bucket.front.know_nothing_of(unknown);
        let store = bucket.store();
        for (at, blocks) in (row * 10..).zip(BLOCKS) {
            let there = put(&store, at, blocks).unwrap_or_else(|e| panic!("{unknown:?}: {e:#}"));
            assert_eq!(there.state, State::Verified, "{unknown:?}");
            assert_eq!(state_of(&store, &there.file), State::Verified, "{unknown:?}: its manifest is there");
            assert_eq!(store.open(&there.file).unwrap().snapshot.state, State::Verified, "{unknown:?}");
        }
        let checks = S3::probe(bucket.settings());
        assert!(checks.iter().all(|c| c.ok), "{unknown:?}: {checks:?}");
        let names: Vec<String> = (row * 10..row * 10 + 2).map(|at| format!("a-{at}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert!(store.delete(&names).iter().all(|(_, r)| r.is_ok()), "{unknown:?}");
    }
    // A refusal that fewer headers do not help is reported, and the next upload has all headers again.
    let store = bucket.store();
    bucket.front.know_nothing_of(&[("x-amz-meta-k3s-node-name", 400, "InvalidArgument")]);
    let e = put(&store, 100, 4).unwrap_err();
    assert_eq!(code_of(&e), Code::S3Error, "{e:#}");
    bucket.front.know_nothing_of(&[]);
    bucket.front.plan(&[]);
    put(&store, 101, 4).unwrap();
    let sent = bucket.front.seen().into_iter().find(|s| s.method == "PUT").unwrap();
    for header in ["if-none-match", "x-amz-checksum-sha256", "content-md5"] {
        assert!(sent.headers.contains_key(header), "{sent:?}");
    }
    // Every body of a bucket with Object Lock has its checksum, whatever else is left out.
    bucket.front.know_nothing_of(&[("x-amz-checksum-sha256", 400, "InvalidArgument")]);
    bucket.front.plan(&[]);
    put(&bucket.store(), 102, 25_000).unwrap();
    let parts: Vec<_> = bucket.front.seen().into_iter().filter(|s| s.target.contains("partNumber")).collect();
    assert!(parts.iter().any(|s| s.headers.contains_key("content-md5")), "{parts:?}");
}

#[test]
fn keys_with_few_rights_are_enough_for_a_save() {
    let bucket = Bucket::start();
    let rows: [(&str, &[(&str, &str)]); 3] = [
        ("may only write", &[("HEAD", ""), ("GET", ""), ("DELETE", "")]),
        ("may not list", &[("GET", "list-type"), ("GET", "uploads")]),
        ("may not delete", &[("DELETE", "")]),
    ];
    for (row, (who, denied)) in (1u64..).zip(rows) {
        for (at, blocks) in (row * 10..).zip(BLOCKS) {
            bucket.front.deny(denied);
            let there = put(&bucket.store(), at, blocks).unwrap_or_else(|e| panic!("{who}: {e:#}"));
            assert_eq!(there.state, State::Verified, "{who}");
            // Never over another object, although these keys cannot look.
            let other = Bytes(bytes(at + 1000, blocks));
            let e = upload(&bucket.store(), &name("a", at), &other, &manifest(&other.0)).unwrap_err();
            assert_eq!(kind_of(&e), Kind::Refused, "{who}: {e:#}");
            bucket.front.deny(&[]);
            assert_eq!(state_of(&bucket.store(), &there.file), State::Verified, "{who}");
        }
    }
    // Keys that must not list get "denied" for an object that does not exist.
    let refuse = Fault::Refuse(403, "AccessDenied");
    bucket.front.plan(&[(0, refuse.clone()), (1, refuse.clone()), (2, refuse)]);
    assert_eq!(put(&bucket.store(), 90, 4).unwrap().state, State::Verified);
    bucket.front.deny(&[("PUT", ""), ("POST", "")]);
    for (at, blocks) in (91..).zip(BLOCKS) {
        let e = put(&bucket.store(), at, blocks).unwrap_err();
        assert_eq!(code_of(&e), Code::S3AccessDenied, "{e:#}");
    }
}

/// The index of the last request like this, in an upload of its own.
fn place(bucket: &Bucket, at: u64, blocks: usize, like: &dyn Fn(&str, &str) -> bool) -> usize {
    bucket.front.plan(&[]);
    put(&bucket.store(), at, blocks).unwrap();
    bucket.front.seen().iter().rposition(|s| like(&s.method, &s.target)).unwrap()
}

#[test]
fn an_upload_is_verified_by_any_checksum_that_the_store_keeps() {
    let bucket = Bucket::start();
    for (row, blocks) in [(100, BLOCKS[0]), (200, BLOCKS[1])] {
        let head = place(&bucket, row, blocks, &|method, _| method == "HEAD");
        let answers = |at: u64, header: &'static str, value: String| {
            bucket.front.plan(&[(head, Fault::Header(header, value))]);
            put(&bucket.store(), at, blocks)
        };
        bucket.front.keep_silent_about(&["x-amz-checksum-sha256"]);
        // A SHA-256 of the whole, also of what came in parts.
        let whole = |at: u64| STANDARD.encode(manifest(&bytes(at, blocks)).stored_sha256.0);
        let there = answers(row + 1, "x-amz-checksum-sha256", whole(row + 1)).unwrap();
        assert_eq!((there.state, evidence(&there)), (State::Verified, "sha256".into()));
        // The digest of other bytes.
        let e = answers(row + 2, "x-amz-checksum-sha256", whole(row + 1)).unwrap_err();
        assert_eq!(code_of(&e), Code::S3DigestMismatch, "{e:#}");
        // An MD5, also if a proxy made the tag a weak one.
        let there = put(&bucket.store(), row + 3, blocks).unwrap();
        assert_eq!((there.state, evidence(&there)), (State::Verified, "etag".into()));
        // Neither: encrypted with a key of the store, an entity tag is no MD5. Only the size is known.
        let there = answers(row + 4, "etag", "\"5f3a-opaque\"".into()).unwrap();
        assert_eq!((there.state, evidence(&there)), (State::Unverified, "size only".into()));
        assert_eq!(state_of(&bucket.store(), &there.file), State::Unverified);
        // A CRC that the store adds verifies nothing, and is no error.
        let there = answers(row + 5, "x-amz-checksum-crc64nvme", "AAAAAAAAAAA=".into()).unwrap();
        assert_eq!(there.state, State::Verified);
        // Another size.
        let e = answers(row + 6, "content-length", "12345".into()).unwrap_err();
        assert_eq!(code_of(&e), Code::S3DigestMismatch, "{e:#}");
        bucket.front.keep_silent_about(&[]);
    }
}

#[test]
fn a_completed_upload_is_found_whatever_the_response_was() {
    let bucket = Bucket::start();
    let complete = |method: &str, target: &str| method == "POST" && target.contains("uploadId");
    let n = place(&bucket, 1, BLOCKS[1], &complete);
    let late = "<?xml version=\"1.0\"?>\n   \n<Error><Code>InternalError</Code><Message>We encountered an internal error</Message></Error>";
    let long = "     \n<?xml version=\"1.0\"?><CompleteMultipartUploadResult><ETag>\"x\"</ETag></CompleteMultipartUploadResult>";
    for (at, answer) in (2..).zip([late, "", "   ", "<html>gateway</html>", long]) {
        bucket.front.plan(&[(n, Fault::Answer(answer.into()))]);
        let there = put(&bucket.store(), at, BLOCKS[1]).unwrap_or_else(|e| panic!("{answer:?}: {e:#}"));
        assert_eq!(there.state, State::Verified, "{answer:?}");
        assert!(bucket.front.uploads().is_empty(), "{answer:?}");
    }
}

#[test]
fn encryption_class_and_tags_go_with_the_right_requests() {
    let bucket = Bucket::start();
    let key = [7u8; 32];
    let customer = [
        ("x-amz-server-side-encryption-customer-algorithm", "AES256".to_owned()),
        ("x-amz-server-side-encryption-customer-key", STANDARD.encode(key)),
    ];
    let store = bucket.store_with(|s| {
        s.objects = Objects {
            storage_class: Some("STANDARD".into()),
            encryption: Encryption::Customer(CustomerKey(key)),
            tags: vec![("team".into(), "a b&c".into()), ("kind".into(), "backup".into())],
        };
    });
    for (at, blocks) in (1..).zip(BLOCKS) {
        bucket.front.plan(&[]);
        put(&store, at, blocks).unwrap();
        let opened = store.open(&format!("a-{at}")).unwrap();
        opened.data.read_exact_at(&mut [0; 9], 0).unwrap();
        for seen in bucket.front.seen().into_iter().filter(|s| !s.target.contains("list-type")) {
            let has = |name: &str| seen.headers.get(name).map(String::as_str);
            // The store does not keep the key: every request about content needs it; a listing does not.
            let lists = seen.target.contains("list-type=2");
            for (name, value) in &customer {
                assert_eq!(has(name), (!lists).then_some(value.as_str()), "{seen:?}");
            }
            let creates =
                seen.method == "PUT" && !seen.target.contains('?') || seen.target.contains("uploads");
            let creates = creates && !seen.target.contains(".metadata");
            assert_eq!(has("x-amz-tagging"), creates.then_some("team=a%20b%26c&kind=backup"), "{seen:?}");
            assert_eq!(has("x-amz-storage-class"), creates.then_some("STANDARD"), "{seen:?}");
        }
    }
    let store = bucket.store_with(|s| s.objects.encryption = Encryption::Kms(Some("key/1".into())));
    bucket.front.plan(&[]);
    put(&store, 9, BLOCKS[0]).unwrap();
    for seen in bucket.front.seen() {
        let kind = (seen.method == "PUT").then_some("aws:kms");
        assert_eq!(seen.headers.get("x-amz-server-side-encryption").map(String::as_str), kind, "{seen:?}");
    }
}

/// Responds as the instance metadata service does, once for each of these: the text a request must have, the response.
fn metadata(answers: Vec<(String, String)>) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://127.0.0.1:{}/", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for (wanted, answer) in answers {
            let (mut client, _) = listener.accept().unwrap();
            let mut head = String::new();
            let mut reader = BufReader::new(client.try_clone().unwrap());
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
            let status = if wanted.split(' ').all(|word| head.contains(word)) { 200 } else { 401 };
            let length = answer.len();
            let text = format!(
                "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{answer}"
            );
            client.write_all(text.as_bytes()).unwrap();
        }
    });
    url
}

#[test]
fn the_role_of_the_machine_gives_keys_if_none_are_configured() {
    let bucket = Bucket::start();
    let root = root();
    fs::create_dir_all(root.snapshots()).unwrap();
    let list = |url: &str| {
        plain("list", &root)
            .args(&["--s3", "--s3-bucket", NAME])
            .args(&["--s3-endpoint", &format!("http://127.0.0.1:{}", bucket.front.port())])
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", url)
    };
    let path = "/latest/meta-data/iam/security-credentials/";
    let role = |expires: &str| {
        format!(
            "{{\"Code\":\"Success\",\"AccessKeyId\":\"{ACCESS}\",\"SecretAccessKey\":\"{SECRET}\",\"Token\":\"a/b+c==\",\"Expiration\":\"{expires}\"}}"
        )
    };
    let ask = |what: &str| format!("{what} x-aws-ec2-metadata-token:");
    let three = |keys: String| {
        vec![
            ("PUT /latest/api/token x-aws-ec2-metadata-token-ttl-seconds".to_owned(), "word".to_owned()),
            (ask(path), "my-role".to_owned()),
            (ask(&format!("{path}my-role")), keys),
        ]
    };
    bucket.front.plan(&[]);
    list(&metadata(three(role("2099-01-01T00:00:00Z")))).run().expect(0);
    assert_eq!(
        bucket.front.seen()[0].token.as_deref(),
        Some("a%2Fb%2Bc%3D%3D"),
        "the token is signed with the rest"
    );
    fails(list(&metadata(three("{}".into()))), 78, "s3-invalid-config");
    let mut hostile = three(String::new());
    hostile[1].1 = "../../../user-data".into();
    fails(list(&metadata(hostile)), 78, "s3-invalid-config");
    fails(list("http://127.0.0.1:1"), 78, "s3-invalid-config");
}

#[test]
fn closed_connections_and_an_unknown_expect_header_are_no_errors() {
    let bucket = Bucket::start();
    for (at, fault) in (1..).zip([Fault::HangUp, Fault::NoExpecting]) {
        bucket.front.always(fault.clone());
        let there = put(&bucket.store(), at, BLOCKS[1]).unwrap_or_else(|e| panic!("{fault:?}: {e:#}"));
        assert_eq!(there.state, State::Verified, "{fault:?}");
        assert_eq!(state_of(&bucket.store(), &there.file), State::Verified, "{fault:?}");
    }
}

#[test]
fn a_response_that_never_ends_is_a_timeout() {
    let bucket = Bucket::start();
    bucket.front.always(Fault::Drip);
    let store = bucket.store_with(|s| s.timeout = Duration::from_millis(500));
    let e = store.list().err().unwrap();
    assert_eq!(code_of(&e), Code::S3Timeout, "{e:#}");
}

#[test]
fn the_listings_of_each_store_are_read() {
    let bucket = Bucket::start();
    let page = |more: &str, object: &str| {
        Fault::Answer(format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>snapshots</Name>{more}<Contents>{object}</Contents></ListBucketResult>"
        ))
    };
    let when = "<LastModified>2026-01-01T00:00:00.000Z</LastModified>";
    for (who, more, object, want) in [
        (
            "AWS",
            "<Prefix>backups/k3s/</Prefix><KeyCount>1</KeyCount><MaxKeys>1000</MaxKeys><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>",
            format!("<Key>backups/k3s/a%2Bb+c-5</Key>{when}<ETag>&quot;d41d8cd98f00b204e9800998ecf8427e-2&quot;</ETag><ChecksumAlgorithm>SHA256</ChecksumAlgorithm><ChecksumType>COMPOSITE</ChecksumType><Size>544</Size><StorageClass>STANDARD</StorageClass>"),
            "a+b c-5",
        ),
        (
            "MinIO: the slash too, an owner",
            "<EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>",
            format!("<Key>backups%2Fk3s%2Fa-5</Key>{when}<ETag>\"x\"</ETag><Size>544</Size><Owner><ID/><DisplayName/></Owner><UserMetadata><content-type>x</content-type></UserMetadata>"),
            "a-5",
        ),
        (
            "old Ceph: no count, no encoding, an unquoted tag",
            "<IsTruncated>False</IsTruncated>",
            format!("<Key>backups/k3s/a%20b-5</Key>{when}<ETag>x</ETag><Size>544</Size>"),
            "a%20b-5",
        ),
        (
            "one that says that it encodes and does not",
            "<EncodingType>url</EncodingType>",
            format!("<Key>backups/k3s/a b%zz+-5</Key>{when}<Size>544</Size>"),
            "a b%zz+-5",
        ),
        (
            "one with a zone in its dates",
            "<IsTruncated>false</IsTruncated>",
            "<Key>backups/k3s/a-5</Key><LastModified>2026-01-01T01:00:00+01:00</LastModified><Size>544</Size>".to_owned(),
            "a-5",
        ),
    ] {
        bucket.front.plan(&[(0, page(more, &object))]);
        let listing = bucket.store().list().unwrap_or_else(|e| panic!("{who}: {e:#}"));
        let names: Vec<&str> = listing.snapshots.iter().map(|s| s.file.as_str()).collect();
        assert_eq!(names, [want], "{who}");
    }
}

#[test]
fn a_bucket_in_the_host_name_and_a_proxy_with_a_password() {
    let bucket = Bucket::start_at(Some("s3.example.test:9000"));
    let root = root();
    fs::create_dir_all(root.snapshots()).unwrap();
    let tunnel = Tunnel::to(bucket.front.port(), "user:geheim word");
    let proxy = format!("http://user:geheim%20word@127.0.0.1:{}", tunnel.port);
    let command = |verb: &str, kind: &str| {
        plain(verb, &root)
            .arg("--s3")
            .args(&["--s3-endpoint", "http://s3.example.test:9000", "--s3-bucket", NAME])
            .args(&["--s3-bucket-lookup-type", kind, "--s3-folder", "backups/k3s"])
            .env("AWS_ACCESS_KEY_ID", ACCESS)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("NO_PROXY", "10.0.0.0/8")
    };
    let list = |kind: &str| command("list", kind);
    let through = |kind: &str| list(kind).env("HTTP_PROXY", &proxy);
    through("dns").run().expect(0);
    assert_eq!(tunnel.asked(), ["snapshots.s3.example.test:9000"]);
    let check = |kind: &str| command("check-s3", kind).env("HTTP_PROXY", &proxy);
    let run = check("dns").args(&["--report", "json"]).run().expect(0);
    assert!(checks(&run).iter().all(|(name, ok)| *ok && name != "name"), "{run:#?}");
    through("path").run().expect(0);
    // The option takes precedence over the environment; `none` of K3s, too.
    let dead = "http://127.0.0.1:1";
    list("path").env("HTTP_PROXY", dead).env("K3S_SNAPSHOT_S3_PROXY", &proxy).run().expect(0);
    fails(through("path").args(&["--s3-proxy", "none"]), 1, "s3-name-unresolved");
    // A proxy for HTTPS is not used for plain HTTP, and NO_PROXY connects directly.
    fails(list("path").env("HTTPS_PROXY", &proxy), 1, "s3-name-unresolved");
    fails(through("path").env("NO_PROXY", ".example.test"), 1, "s3-name-unresolved");
    // The password is wrong, and not shown. The message names the proxy.
    let error = fails(list("path").env("HTTP_PROXY", proxy.replace("word", "worse")), 1, "s3-unreachable");
    let named = format!("127.0.0.1:{}", tunnel.port);
    assert!(error["message"].as_str().unwrap().contains(&named), "{error}");
}

#[test]
fn a_store_that_does_not_see_the_bucket_in_the_host_name_has_its_own_error() {
    let bucket = Bucket::start();
    let root = root();
    fs::create_dir_all(root.snapshots()).unwrap();
    let tunnel = Tunnel::to(bucket.front.port(), "user:word");
    let command = |verb: &str| {
        plain(verb, &root)
            .args(&["--s3", "--s3-endpoint", "http://s3.example.test:9000", "--s3-bucket", NAME])
            .args(&["--s3-bucket-lookup-type", "dns"])
            .env("K3S_SNAPSHOT_S3_PROXY", format!("http://user:word@127.0.0.1:{}", tunnel.port))
            .env("AWS_ACCESS_KEY_ID", ACCESS)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
    };
    fails(command("list"), 78, "s3-bucket-not-found");
    let run = command("check-s3").args(&["--report", "json"]).run().expect(1);
    assert_eq!(failed_check(&run)["name"], "bucket", "{run:#?}");
}

#[test]
fn a_customer_key_is_not_sent_where_others_can_read_it() {
    let settings = |endpoint: &str, skip_verify: bool, key: bool| {
        let encryption = if key { Encryption::Customer(CustomerKey([7; 32])) } else { Encryption::Default };
        let objects = Objects { encryption, ..Objects::default() };
        S3Config { skip_verify, objects, ..crate::support::bucket::settings(endpoint) }
    };
    for (endpoint, skip_verify, is_refused) in [
        ("http://store.example:9000", false, true),
        ("https://store.example:9000", true, true),
        ("https://store.example:9000", false, false),
        ("http://127.0.0.1:9000", false, false),
        ("http://localhost:9000", false, false),
    ] {
        let opened = S3::new(settings(endpoint, skip_verify, true));
        let code = opened.as_ref().err().map(code_of);
        assert_eq!(code, is_refused.then_some(Code::S3InvalidConfig), "{endpoint} {skip_verify}");
        assert!(S3::new(settings(endpoint, skip_verify, false)).is_ok(), "{endpoint} {skip_verify}");
    }
}

/// A server that takes the body of a request at this rate, and answers as a store does.
fn slow_store(bytes_per_second: usize) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            std::thread::spawn(move || slow_request(client, bytes_per_second));
        }
    });
    port
}

fn slow_request(mut client: std::net::TcpStream, bytes_per_second: usize) -> std::io::Result<()> {
    use std::io::Read;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length = |name: &str| head.lines().find_map(|l| l.strip_prefix(name)?.trim().parse::<usize>().ok());
    let mut left = length("content-length:").unwrap_or(0);
    if head.starts_with("head") {
        client.write_all(b"HTTP/1.1 404 X\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")?;
        return Ok(());
    }
    if head.contains("100-continue") {
        client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let mut piece = vec![0; bytes_per_second / 20];
    while left > 0 {
        let n = client.read(&mut piece)?;
        if n == 0 {
            return Ok(());
        }
        left -= n.min(left);
        std::thread::sleep(Duration::from_secs_f64(n as f64 / bytes_per_second as f64));
    }
    client.write_all(b"HTTP/1.1 403 X\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
}

#[test]
fn a_store_that_takes_data_slowly_is_not_silent_and_one_that_stops_is() {
    let data = Bytes(bytes(1, 5_000));
    let sent = |bytes_per_second: usize| {
        let mut settings =
            crate::support::bucket::settings(&format!("http://127.0.0.1:{}", slow_store(bytes_per_second)));
        settings.timeout = Duration::from_secs(1);
        let store = S3::new(settings).unwrap();
        let started = std::time::Instant::now();
        let code = code_of(&upload(&store, &name("a", 5), &data, &manifest(&data.0)).unwrap_err());
        (code, started.elapsed())
    };
    // The body takes 8 s, and the kernel holds what is left of it for most of them.
    let (code, wall) = sent(320_000);
    assert_eq!(code, Code::S3AccessDenied, "the answer was waited for: {wall:?}");
    let (code, wall) = sent(20);
    assert_eq!(code, Code::S3Timeout);
    assert!(wall < Duration::from_secs(6), "{wall:?}");
}

// SPDX-License-Identifier: Apache-2.0
//! What a test does when the machine lacks something: it says so aloud and ends, and with `REQUIRE_ALL=1` it fails.
//! Aloud means past the test runner's capture of output, so that a skipped test is never mistaken for a passed one.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The value of a `Result<T, String>`; on an error the test is skipped with that reason.
macro_rules! require {
    ($what:expr) => {
        match $what {
            Ok(value) => value,
            Err(why) => {
                $crate::support::require::skipped(&why);
                return;
            }
        }
    };
}
pub(crate) use require;

/// Says that this test is skipped, or panics where everything is required.
pub(crate) fn skipped(why: &str) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("a test");
    let all = std::env::var_os("REQUIRE_ALL").is_some_and(|v| v == "1");
    assert!(!all, "REQUIRE_ALL=1, but {name} cannot run: {why}");
    // Not eprintln!, which the test runner swallows when a test passes; one write, as other tests speak as well.
    let line = format!("\nSKIPPED: {name}: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// Are we root?
pub(crate) fn root() -> Result<(), String> {
    if nix::unistd::geteuid().is_root() { Ok(()) } else { Err("needs root".into()) }
}

/// The path of a program in PATH.
pub(crate) fn program(name: &str) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
        .ok_or_else(|| format!("needs the program {name} in PATH"))
}

/// The directory with etcd, etcdctl and etcdutl: `ETCD_BIN_DIR`, else where scripts/setup puts them.
pub(crate) fn etcd_programs() -> Result<PathBuf, String> {
    let dir = match std::env::var_os("ETCD_BIN_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("target/etcd/bin"),
    };
    match ["etcd", "etcdctl", "etcdutl"].iter().find(|name| !dir.join(name).exists()) {
        None => Ok(dir),
        Some(name) => Err(format!("needs '{}' (make setup)", dir.join(name).display())),
    }
}

/// The version of the etcd in the tests, for example 3.5.1.
pub(crate) fn etcd_version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        let program = etcd_programs().unwrap_or_else(|why| panic!("{why}")).join("etcd");
        let output = std::process::Command::new(program).arg("--version").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().next().unwrap().strip_prefix("etcd Version: ").unwrap().to_owned()
    })
}

/// Whether two snapshots of an idle etcd are byte-identical. Since 3.6, etcd commits a transaction for each of them.
pub(crate) fn snapshots_repeat() -> bool {
    etcd_version().starts_with("3.4.") || etcd_version().starts_with("3.5.")
}

// SPDX-License-Identifier: Apache-2.0
//! Who may know whom. The table below is the architecture; a line of the source that leaves it fails here.
//!
//! A new folder gets a row. A row that has to be widened is a question about the design first.

use std::path::{Path, PathBuf};

/// Folder (or file) below `src`, and what it may name of ours beside itself. The longest match counts.
const OURS: &[(&str, &[&str])] = &[
    ("error.rs", &[]),
    ("io.rs", &[]),
    ("distribution.rs", &[]),
    ("model", &["distribution", "error"]),
    ("inspect", &["error", "io"]),
    ("cli", &["config::options"]),
    ("config", &["distribution", "error", "model"]),
    ("host", &["distribution", "error", "inspect", "io", "model"]),
    ("archive", &["error", "host::Progress", "host::Silent", "inspect", "io"]),
    ("source", &["error", "host::Draft", "host::Progress", "inspect", "io", "model"]),
    ("store", &["distribution", "error", "host", "inspect", "io", "model"]),
    // Verbs see traits and values, never a concrete source or store.
    (
        "commands",
        &[
            "archive",
            "error",
            "host::Active",
            "host::Door",
            "host::Draft",
            "host::FileAt",
            "host::K3s",
            "host::Listener",
            "host::Progress",
            "host::Published",
            "host::Ready",
            "host::ResetEnd",
            "host::Service",
            "host::Silent",
            // Files and nothing else, like a draft: what a restore does to them is tested with real ones.
            "host::Site",
            "host::Unit",
            "inspect",
            "io",
            "model",
            "source::Captured",
            "source::Fill",
            "source::Live",
            "source::Look",
            "source::Source",
            "source::trailer_hasher",
            "store::Home",
            "store::Opened",
            "store::RemoteStore",
            "store::Store",
        ],
    ),
    ("output", &["host::Progress", "model"]),
    (
        "app",
        &[
            "cli",
            "commands",
            "config",
            "distribution",
            "error",
            "host",
            "io",
            "model",
            "output",
            "source",
            "store",
        ],
    ),
    ("lib.rs", &[]),
    ("bin", &["app"]),
];

/// Foreign worlds, and the only places that may import them.
const FOREIGN: &[(&str, &[&str])] = &[
    ("etcd_client", &["source/etcd"]),
    ("tonic", &["source/etcd"]),
    ("tokio", &["source/etcd", "host/systemd"]),
    ("zbus", &["host/systemd"]),
    ("nix", &["host", "app/run.rs", "output/kmsg.rs"]),
    ("rustix", &["host"]),
    ("sd_notify", &["host/notify.rs"]),
    ("clap", &["cli", "app/run.rs"]),
    ("indicatif", &["output/progress_bar.rs"]),
    ("granit_parser", &["config/yaml"]),
    ("serde_saphyr", &["output/render.rs"]),
    ("zip", &["archive/zip.rs"]),
    ("s3", &["store/s3"]),
    ("ureq", &["host/supervisor.rs", "host/readyz.rs", "store/s3"]),
    ("rustls", &["host/supervisor.rs", "host/readyz.rs", "store/s3/tls_verifier.rs", "store/s3/tls.rs"]),
    ("quick_xml", &["store/s3/xml.rs"]),
    ("md5", &["store/s3"]),
    (
        "base64",
        &["config/s3_files.rs", "config/yaml", "host/supervisor.rs", "model/bootstrap.rs", "store/s3"],
    ),
    ("ring", &["model/bootstrap.rs"]),
];

/// What a pure folder must not touch.
const PURE: &[&str] = &["model", "inspect"];
const IMPURE: &[&str] = &[
    "std::fs",
    "std::env",
    "std::net",
    "std::process",
    "std::os",
    "SystemTime",
    "Instant",
    "Timestamp::now",
    "println!",
    "eprintln!",
];

/// Words that only the table of distributions may hold as a path or a unit.
const NAMES: &[&str] = &["/rancher/", "k3s.service", "rke2-server", "/var/lib/rancher"];

fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, all: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, all);
            } else if path.extension().is_some_and(|e| e == "rs") {
                all.push(path);
            }
        }
    }
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    walk(&src, &mut all);
    all.sort();
    all.into_iter()
        .map(|p| (p.strip_prefix(&src).unwrap().display().to_string(), std::fs::read_to_string(&p).unwrap()))
        .collect()
}

/// The code without its tests and comments, as numbered lines.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .take_while(|l| !["#[cfg(test)]", "#![cfg(test)]"].iter().any(|t| l.starts_with(t)))
        .enumerate()
        .map(|(i, l)| (i + 1, l.split("//").next().unwrap_or_default()))
}

fn room_of(file: &str) -> &'static (&'static str, &'static [&'static str]) {
    OURS.iter()
        .filter(|(room, _)| file == *room || file.starts_with(&format!("{room}/")))
        .max_by_key(|(room, _)| room.len())
        .unwrap_or_else(|| panic!("src/{file} stands in no row of the table"))
}

/// The paths of ours that a file names: `crate::a::b` and, in binaries, `k3s_snapshot::a`; brace lists spelled out.
fn imports(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in code(text) {
        for start in ["crate::", "k3s_snapshot::"] {
            for (at, _) in line.match_indices(start) {
                let before = line[..at].chars().next_back();
                if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
                    continue;
                }
                let path = &line[at + start.len()..];
                let end =
                    path.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(path.len());
                let head = path[..end].trim_end_matches(':');
                match path[end..].strip_prefix('{').and_then(|p| p.split('}').next()) {
                    Some(list) => {
                        found.extend(list.split(',').map(|i| (number, format!("{head}::{}", i.trim()))))
                    }
                    None => found.push((number, head.to_owned())),
                }
            }
        }
    }
    found
}

#[test]
fn rooms_know_only_whom_they_may() {
    for (file, text) in sources() {
        let (room, allowed) = room_of(&file);
        let own = room.trim_end_matches(".rs");
        for (number, path) in imports(&text) {
            let fits = |a: &str| path == a || path.starts_with(&format!("{a}::"));
            assert!(fits(own) || allowed.iter().any(|a| fits(a)), "src/{file}:{number} names crate::{path}");
        }
    }
}

#[test]
fn each_foreign_world_has_its_importers() {
    for (file, text) in sources() {
        for (number, line) in code(&text) {
            for (world, places) in FOREIGN {
                let named = line.match_indices(&format!("{world}::")).any(|(at, _)| {
                    !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
                });
                // Two modules of ours bear the name of a crate.
                let ours = (*world == "zip" && file.starts_with("commands/"))
                    || (*world == "s3" && file.starts_with("config/"));
                let here = places.iter().any(|p| file == *p || file.starts_with(&format!("{p}/")));
                assert!(!named || here || ours, "src/{file}:{number} knows {world}");
            }
        }
    }
}

#[test]
fn model_and_inspect_are_pure() {
    for (file, text) in sources().into_iter().filter(|(f, _)| PURE.iter().any(|p| f.starts_with(p))) {
        for (number, line) in code(&text) {
            for word in IMPURE {
                assert!(!line.contains(word), "src/{file}:{number} is not pure: {word}");
            }
        }
    }
}

#[test]
fn distributions_are_named_in_one_place() {
    for (file, text) in
        sources().into_iter().filter(|(f, _)| f != "distribution.rs" && !f.starts_with("cli/"))
    {
        for (number, line) in code(&text) {
            for name in NAMES {
                assert!(
                    !line.contains(name),
                    "src/{file}:{number} names {name}; that belongs to distribution.rs"
                );
            }
        }
    }
}

#[test]
fn files_have_a_sign_on_the_door_and_stay_small() {
    for (file, text) in sources() {
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("// SPDX-License-Identifier: Apache-2.0"), "src/{file}");
        assert!(
            lines.next().is_some_and(|l| l.starts_with("//! ")),
            "src/{file} does not say what it is for"
        );
        let length = code(&text).count();
        assert!(length <= 400, "src/{file} has {length} lines without tests: name the second thing in it");
    }
}

/// The checks above read text; this is what they would have to catch.
#[test]
fn the_reader_of_imports_reads() {
    let text =
        "use crate::host::{Draft, fs::id_of};\nlet x = crate::store::local::Local::new();\n// crate::no\n";
    let found: Vec<String> = imports(text).into_iter().map(|(_, p)| p).collect();
    assert_eq!(found, ["host::Draft", "host::fs::id_of", "store::local::Local::new"]);
}

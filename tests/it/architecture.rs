// SPDX-License-Identifier: Apache-2.0
//! The architecture as tables: which layer may import what, which file imports a foreign crate, what is pure, and how large
//! a file is. A line of the source that breaks a rule fails here.
//!
//! A new directory gets a row. Before a row is widened, question the design. Import circles are in `import_circles.rs`.

use crate::documents::{files_below, read};
use crate::support::rust_source::{self, without_tests};

use crate::import_circles::{Source, sources};

/// Directory or file below `src`, and what it may import of ours in addition to itself. The longest match counts.
const LAYERS: &[(&str, &[&str])] = &[
    ("error.rs", &[]),
    ("io.rs", &[]),
    ("util.rs", &[]),
    ("datastore.rs", &[]),
    ("http", &["model"]),
    ("distribution.rs", &[]),
    ("model", &["datastore", "distribution", "error", "util"]),
    ("inspect", &["datastore", "error", "io", "util"]),
    ("etcd_files", &["error", "inspect", "io"]),
    ("cli", &["config::options"]),
    ("config", &["archive::age", "distribution", "error", "model", "util"]),
    ("host", &["datastore", "distribution", "error", "http", "inspect", "io", "model", "util"]),
    ("archive", &["error", "host::NoProgress", "host::Progress", "inspect", "io", "model::secret"]),
    (
        "source",
        &[
            "error",
            "host::Draft",
            "host::FileAt",
            "host::Progress",
            "host::sleep_exactly",
            "inspect",
            "io",
            "model",
            "util",
        ],
    ),
    ("store", &["distribution", "error", "host", "http", "inspect", "io", "model", "util"]),
    // Commands use traits and values, never a concrete source or store.
    (
        "commands",
        &[
            "archive",
            "datastore",
            "distribution",
            "error",
            "etcd_files",
            "host::Active",
            "host::Draft",
            "host::FileAt",
            "host::Host",
            "host::JoinServer",
            "host::K3s",
            "host::Listener",
            "host::NoProgress",
            "host::Progress",
            "host::Published",
            "host::Ready",
            // Small files with secrets: read, written and removed as a whole.
            "host::private_file",
            "host::ResetOutcome",
            "host::Scratch",
            // Files and nothing else, like a draft: the tests of a restore use real ones.
            "host::ServerFiles",
            "host::server_files",
            "host::Unit",
            "host::UnitControl",
            "inspect",
            "io",
            "model",
            "source",
            "store",
            "util",
        ],
    ),
    ("output", &["host::Progress", "http", "model", "util"]),
    (
        "app",
        &[
            "archive::age",
            "cli",
            "commands",
            "config",
            "datastore",
            "distribution",
            "error",
            "host",
            "io",
            "model",
            "output",
            "source",
            "store",
            "util",
        ],
    ),
    // For the fuzz targets: every reader of foreign bytes.
    ("readers.rs", &["archive", "config", "etcd_files", "inspect", "model", "store"]),
    ("lib.rs", &[]),
    ("bin", &["app"]),
];

/// Foreign crates that reach outside or are replaceable, and the only places that may import them.
const FOREIGN: &[(&str, &[&str])] = &[
    ("etcd_client", &["source/etcd"]),
    ("tonic", &["source/etcd"]),
    ("tokio", &["source/etcd", "host/systemd"]),
    ("zbus", &["host/systemd"]),
    ("rusqlite", &["source/sqlite"]),
    ("nix", &["host", "app/run.rs", "output/kmsg.rs"]),
    ("rustix", &["host"]),
    ("sd_notify", &["host/notify.rs"]),
    ("clap", &["cli", "app"]),
    ("indicatif", &["output/progress_bar.rs"]),
    ("granit_parser", &["config/yaml"]),
    ("serde_saphyr", &["output/render.rs"]),
    ("shlex", &["util.rs"]),
    ("age", &["archive/age.rs"]),
    ("zip", &["archive/zip.rs"]),
    ("s3", &["store/s3"]),
    ("ureq", &["http", "host/supervisor.rs", "host/readyz.rs", "output/ping.rs", "store/s3"]),
    ("rustls", &["host/supervisor.rs", "host/readyz.rs", "store/s3"]),
    ("quick_xml", &["store/s3/xml.rs"]),
    ("md5", &["store/s3"]),
    (
        "base64",
        &[
            "config/s3_files.rs",
            "config/yaml",
            "host/supervisor.rs",
            "inspect/objects.rs",
            "model/bootstrap.rs",
            "store/s3",
        ],
    ),
    ("ring", &["model/authenticity.rs", "model/bootstrap.rs"]),
];

/// Directories and files that are pure, and what they must not use.
const PURE: &[&str] = &[
    "model/",
    "inspect/",
    // All but apply.rs, which works on files.
    "etcd_files/bolt",
    "etcd_files/crc32c",
    "etcd_files/fence",
    "etcd_files/proto",
    "etcd_files/raise",
    "etcd_files/wal",
];
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

/// Paths and units that only the table of distributions may name.
const OF_DISTRIBUTIONS: &[&str] = &["/rancher/", "k3s.service", "rke2-server", "/var/lib/rancher"];

/// Lines of a file without its tests; of most files; of a function.
const LARGEST_FILE: usize = 400;
const LARGEST_MEDIAN: usize = 130;
const LARGEST_FUNCTION: usize = 60;

/// The lines of code without tests and comments, with their numbers.
fn code(text: &str) -> Vec<(usize, String)> {
    let code = rust_source::code(without_tests(text));
    code.lines().enumerate().map(|(i, l)| (i + 1, l.to_owned())).collect()
}

fn layer_of(file: &str) -> &'static (&'static str, &'static [&'static str]) {
    LAYERS
        .iter()
        .filter(|(layer, _)| file == *layer || file.starts_with(&format!("{layer}/")))
        .max_by_key(|(layer, _)| layer.len())
        .unwrap_or_else(|| panic!("src/{file} is in no row of the table"))
}

#[test]
fn layers_import_only_what_the_table_allows() {
    let mut found = Vec::new();
    for Source { file, imports, .. } in sources() {
        let (layer, allowed) = layer_of(&file);
        let own = layer.trim_end_matches(".rs");
        for (line, path) in imports {
            let within = |allowed: &str| path == allowed || path.starts_with(&format!("{allowed}::"));
            if !within(own) && !allowed.iter().any(|a| within(a)) {
                found.push(format!("src/{file}:{line} imports crate::{path}"));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Whether the file has a child module of this name.
fn declares(text: &str, name: &str) -> bool {
    ["mod", "pub mod", "pub(crate) mod", "pub(super) mod"]
        .iter()
        .any(|m| text.contains(&format!("\n{m} {name};")))
}

#[test]
fn foreign_crates_have_few_importers() {
    let mut found = Vec::new();
    for Source { file, text, imports } in sources() {
        for (line, code) in code(&text) {
            for (name, places) in FOREIGN {
                let named = code.match_indices(&format!("{name}::")).any(|(at, _)| {
                    !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
                });
                if !named || places.iter().any(|p| file == *p || file.starts_with(&format!("{p}/"))) {
                    continue;
                }
                // Some of our modules have the name of a crate.
                let is_ours = |(_, path): &(usize, String)| path.ends_with(&format!("::{name}"));
                if !declares(&text, name) && !imports.iter().any(is_ours) {
                    found.push(format!("src/{file}:{line} imports {name}"));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn model_and_inspect_are_pure() {
    let mut found = Vec::new();
    for Source { file, text, .. } in
        sources().into_iter().filter(|s| PURE.iter().any(|p| s.file.starts_with(p)))
    {
        for (line, code) in code(&text) {
            found.extend(
                IMPURE.iter().filter(|w| code.contains(**w)).map(|w| format!("src/{file}:{line} uses {w}")),
            );
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn paths_of_distributions_are_in_one_file() {
    let mut found = Vec::new();
    for file in files_below("src", ".rs") {
        if file == "src/distribution.rs" || file.starts_with("src/cli/") {
            continue;
        }
        let text = read(&file);
        for piece in rust_source::pieces(without_tests(&text)) {
            if piece.kind != rust_source::Kind::Comment {
                let named = OF_DISTRIBUTIONS.iter().filter(|name| piece.text.contains(**name));
                found.extend(named.map(|name| format!("{file}:{} names {name}", piece.line)));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_file_has_a_header_and_at_most_400_lines() {
    for file in files_below("src", ".rs") {
        let text = read(&file);
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("// SPDX-License-Identifier: Apache-2.0"), "{file}");
        assert!(lines.next().is_some_and(|l| l.starts_with("//! ")), "{file} has no header");
        let length = without_tests(&text).lines().count();
        assert!(length <= LARGEST_FILE, "{file} has {length} lines without tests");
    }
}

#[test]
fn most_files_are_small() {
    let lengths = files_below("src", ".rs").into_iter().filter(|f| !f.contains("/tests"));
    let mut lengths: Vec<usize> = lengths.map(|f| without_tests(&read(&f)).lines().count()).collect();
    lengths.sort_unstable();
    let median = lengths[lengths.len() / 2];
    println!("{} files, median {median} lines, largest {}", lengths.len(), lengths[lengths.len() - 1]);
    assert!(median <= LARGEST_MEDIAN, "the median is {median} lines");
}

/// A function of a file: its name, its first line, its number of lines.
fn functions(text: &str) -> Vec<(String, usize, usize)> {
    let lines = code(text);
    let mut found = Vec::new();
    for (i, (number, line)) in lines.iter().enumerate() {
        let Some((before, rest)) = line.split_once("fn ") else { continue };
        let is_item = before.trim().split(' ').all(|w| {
            ["", "pub", "pub(crate)", "pub(super)", "const", "async"].contains(&w) || w.starts_with("pub(in")
        });
        if !is_item {
            continue;
        }
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        // The end is the closing brace with the indentation of the first line; a declaration in a trait has none.
        let indent = line.len() - line.trim_start().len();
        let end = lines[i..].iter().position(|(_, l)| l.starts_with(&format!("{}}}", " ".repeat(indent))));
        let declared = lines[i..].iter().position(|(_, l)| l.trim_end().ends_with(';') || l.contains('{'));
        let has_body = declared.map(|at| lines[i + at].1.trim_end()).is_some_and(|l| l.ends_with('{'));
        if let (Some(end), true) = (end, has_body) {
            found.push((name, *number, end + 1));
        }
    }
    found
}

/// A long function needs the reason in a comment above it or in its first line, which begins with "Long:".
#[test]
fn functions_of_more_than_60_lines_have_a_reason() {
    let mut found = Vec::new();
    for file in files_below("src", ".rs") {
        let text = read(&file);
        let lines: Vec<&str> = text.lines().collect();
        for (name, first, length) in
            functions(&text).into_iter().filter(|(.., length)| *length > LARGEST_FUNCTION)
        {
            let above =
                lines[..first - 1].iter().rev().take_while(|l| l.trim_start().starts_with(['/', '#']));
            let explained = above
                .chain(&lines[first..first + 1])
                .any(|l| l.contains("// Long: ") || l.contains("/// Long: "));
            if !explained {
                println!("{file}:{first}: {name} has {length} lines");
                found.push(format!("{file}: {name}"));
            }
        }
    }
    assert!(found.is_empty(), "without a comment that gives the reason: {found:#?}");
}

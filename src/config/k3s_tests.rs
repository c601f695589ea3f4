// SPDX-License-Identifier: Apache-2.0
//! Compares the settings with what K3s itself makes of the same files, variables and arguments: tables of inputs and results
//! of K3s, and properties.
//!
//! Known differences, all of values without quotes: a tag or an anchor with a comma, a colon or a bracket in its name
//! (`!a,b`, `&a:b`); in a list in brackets, an element that begins with `?`, `!` or `-,` or ends in a colon. And this reader
//! accepts some files with which K3s does not start.
#![cfg(test)]

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use proptest::prelude::*;
use serde::Deserialize;

use super::layer::Layer;
use super::load::{Environment, Selectors, load};
use super::options::OptionId;
use super::paths::in_root;
use super::settings::Settings;
use super::unit::K3sFlags;
use super::yaml;
use crate::distribution::Distribution;
use crate::model::retention::Location;
use crate::model::unit::UnitAnswer;

const ARGUMENTS: &str = include_str!("../../tests/fixtures/k3s-config/arguments.tsv");
const VALUES: &str = include_str!("../../tests/fixtures/k3s-config/values.tsv");

fn rows(table: &str) -> Vec<[&str; 3]> {
    let rows = table.lines().filter(|line| !line.starts_with('#'));
    let rows: Vec<_> = rows.map(|row| row.split('\t').collect::<Vec<_>>().try_into().unwrap()).collect();
    assert!(rows.len() > 100, "{}", rows.len());
    rows
}

/// The flags that these files set, as K3s reads them; `None` if one cannot be read.
fn flags_of(files: &[&str]) -> Option<K3sFlags> {
    let mut flags = K3sFlags::default();
    for text in files {
        flags.add_file(Path::new("/config.yaml"), yaml::parse(text).ok()?);
    }
    Some(flags)
}

#[test]
fn files_become_the_arguments_that_k3s_makes_of_them() {
    let mut wrong = Vec::new();
    for [name, text, want] in rows(ARGUMENTS) {
        let text: String = serde_json::from_str(text).unwrap();
        let want: Option<Vec<String>> = (want != "error").then(|| serde_json::from_str(want).unwrap());
        let got = flags_of(&[&text]).map(|flags| flags.file_arguments());
        if got != want {
            wrong.push(format!("{name}: {text:?} gives {got:?}, for K3s {want:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// One input of the second table.
#[derive(Deserialize)]
struct Input {
    files: BTreeMap<String, String>,
    env: BTreeMap<String, String>,
    args: Vec<String>,
}

impl Input {
    /// The settings of a machine with these files and a K3s service with this environment and these arguments.
    fn settings(&self) -> Result<Settings> {
        let root = tempfile::tempdir().unwrap();
        let quoted = |word: &String| {
            format!("'{}'", word.replace('\\', "\\\\").replace('\'', "\\'").replace('%', "%%"))
        };
        let words: Vec<String> = self.args.iter().skip(1).map(quoted).collect();
        let variables: Vec<String> = self
            .env
            .iter()
            .map(|(name, value)| format!("Environment={}\n", quoted(&format!("{name}={value}"))))
            .collect();
        let unit =
            format!("[Service]\n{}ExecStart=:/usr/local/bin/k3s {}\n", variables.concat(), words.join(" "));
        let unit = [("/etc/systemd/system/k3s.service".to_owned(), unit)];
        for (path, text) in self.files.iter().map(|(p, t)| (p.clone(), t.clone())).chain(unit) {
            let path = in_root(root.path(), Path::new(&path));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        settings(root.path())
    }
}

fn settings(root: &Path) -> Result<Settings> {
    let lookup = |_: &'static Distribution, _: Option<&str>| Ok(UnitAnswer::Absent);
    let loaded = load(root, &Selectors::default(), &Environment::new(), &lookup)?;
    Settings::new(loaded, Layer::default(), root, "Host-1")
}

/// Values by the names of the table.
fn values(s: &Settings) -> BTreeMap<&'static str, String> {
    let path = |path: &Path| format!("/{}", path.strip_prefix(&s.root).unwrap().display());
    let text = |id| s.merged.effective(id).map(|(text, _)| text.to_owned()).unwrap_or_default();
    let set = |id| match s.merged.effective(id) {
        Some((text, origin)) if origin.is_from_k3s() => text.to_owned(),
        _ => String::new(),
    };
    assert_eq!((&s.data_dir, &s.node_name), (&s.k3s.data_dir, &s.k3s.node_name), "ours are those of K3s");
    let count = s.policies(Location::Local).ok().and_then(|p| p.all.last);
    let timeout = s.merged.duration(OptionId::S3Timeout).ok().flatten().unwrap_or_default().as_secs();
    BTreeMap::from([
        ("data-dir", path(&s.data_dir)),
        ("dir", path(&s.dir)),
        ("member", s.k3s.server_name.clone()),
        ("node-name", s.node_name.clone()),
        ("token", text(OptionId::Token)),
        ("token-file", set(OptionId::TokenFile)),
        ("server", s.flags.last("server").map(|(url, _)| url.to_owned()).unwrap_or_default()),
        ("datastore-endpoint", text(OptionId::DatastoreEndpoint)),
        ("etcd-snapshot-schedule-cron", s.schedule.clone().unwrap_or_default()),
        ("etcd-s3-bucket", text(OptionId::S3Bucket)),
        ("etcd-s3-access-key", text(OptionId::S3AccessKey)),
        ("etcd-s3-secret-key", text(OptionId::S3SecretKey)),
        ("etcd-s3-proxy", text(OptionId::S3Proxy)),
        ("write-kubeconfig", set(OptionId::WriteKubeconfig)),
        ("etcd-s3-endpoint", text(OptionId::S3Endpoint)),
        ("etcd-s3-region", text(OptionId::S3Region)),
        ("etcd-snapshot-name", s.scheduled_base.clone()),
        ("cluster-init", s.cluster_init.to_string()),
        ("disable-etcd", s.disable_etcd.to_string()),
        ("etcd-disable-snapshots", s.disable_snapshots.to_string()),
        ("etcd-s3", s.s3.to_string()),
        ("etcd-s3-insecure", s.merged.bool(OptionId::S3Insecure).unwrap().to_string()),
        ("etcd-s3-skip-ssl-verify", s.merged.bool(OptionId::S3SkipSslVerify).unwrap().to_string()),
        ("etcd-snapshot-compress", s.compress.to_string()),
        ("https-listen-port", s.https_port.to_string()),
        ("etcd-snapshot-retention", count.map(|n| n.to_string()).unwrap_or_default()),
        ("key", s.bucket().map_or("NAME".to_owned(), |bucket| bucket.key("NAME"))),
        ("etcd-s3-timeout", format!("{}m{}s", timeout / 60, timeout % 60)),
    ])
}

#[test]
fn the_settings_are_the_values_that_k3s_uses() {
    let mut usual: BTreeMap<String, String> = BTreeMap::new();
    let mut wrong = Vec::new();
    for [name, input, want] in rows(VALUES) {
        let input: Input = serde_json::from_str(input).unwrap();
        let found = input.settings();
        if want == "error" {
            // K3s does not start. Our commands say so, and do not fail because of what they do not need.
            let refused = found.as_ref().map_or(true, |s| {
                !s.k3s.problems.is_empty()
                    || s.policies(Location::Local).is_err()
                    || s.bucket().is_err() && s.s3
            });
            if !refused {
                wrong.push(format!("{name}: accepted, but K3s does not start with it"));
            }
            continue;
        }
        let differs: BTreeMap<String, String> = serde_json::from_str(want).unwrap();
        if usual.is_empty() {
            usual = differs.clone();
        }
        let found = found.unwrap_or_else(|e| panic!("{name}: {e:#}"));
        for (key, value) in values(&found) {
            let want = differs.get(key).or(usual.get(key)).unwrap();
            if value != *want {
                wrong.push(format!("{name}: {key} is '{value}', for K3s '{want}'"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Texts of the first table, each with a few changes.
fn changed_texts() -> impl Strategy<Value = String> {
    let texts: Vec<String> =
        rows(ARGUMENTS).iter().map(|[_, text, _]| serde_json::from_str(text).unwrap()).collect();
    let change = (
        any::<prop::sample::Index>(),
        prop_oneof![
            "[ \n\t:#'\"\\[\\]{},&*!|>%@`?0-9a-zA-Z._+~-]{0,3}",
            Just(String::new()),
            any::<String>(),
        ],
    );
    (prop::sample::select(texts), prop::collection::vec(change, 0..4)).prop_map(|(text, changes)| {
        let mut chars: Vec<char> = text.chars().collect();
        for (at, insert) in changes {
            let at = at.index(chars.len() + 1);
            if insert.is_empty() && at < chars.len() {
                chars.remove(at);
            }
            chars.splice(at.min(chars.len())..at.min(chars.len()), insert.chars());
        }
        chars.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the text, there is a result; and no value has white space at its ends.
    #[test]
    fn every_text_is_read_or_refused(text in changed_texts()) {
        if let Some(flags) = flags_of(&[&text]) {
            for argument in flags.file_arguments() {
                let (_, value) = argument.split_once('=').unwrap();
                prop_assert_eq!(argument.trim_end(), &argument, "{}", value);
            }
        }
    }

    /// Quotes protect every text.
    #[test]
    fn a_quoted_text_is_read_as_it_is(text in any::<String>()) {
        let quoted = serde_json::to_string(&text).unwrap();
        let got = flags_of(&[&format!("token: {quoted}\n")]).map(|f| f.all("token").join("|"));
        // YAML has no delete character and no single surrogates; JSON escapes neither.
        if !text.chars().any(|c| c.is_control() || ('\u{fffe}'..='\u{ffff}').contains(&c)) {
            prop_assert_eq!(got, Some(text.trim().to_owned()));
        }
    }

    /// Drop-ins that set other keys are the same as one file.
    #[test]
    fn keys_may_be_spread_over_files(values in prop::collection::vec("[a-z0-9.]{0,6}", 1..6)) {
        let lines: Vec<String> = values.iter().enumerate().map(|(i, v)| format!("key{i}: {v}\n")).collect();
        let spread: Vec<&str> = lines.iter().map(String::as_str).collect();
        let one = flags_of(&[&lines.concat()]).unwrap().file_arguments();
        prop_assert_eq!(flags_of(&spread).unwrap().file_arguments(), one);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// No configuration of K3s makes the settings panic, and names are in lower case.
    #[test]
    fn every_configuration_has_settings_or_an_error(
        text in changed_texts(),
        keys in prop::collection::vec((prop::sample::select(vec![
            "data-dir", "node-name", "etcd-snapshot-dir", "etcd-s3-folder", "https-listen-port", "etcd-snapshot-retention",
            "etcd-s3", "token", "with-node-id", "etcd-s3-endpoint-ca", "etcd-snapshot-schedule-cron",
        ]), any::<String>()), 0..4),
    ) {
        let lines: String = keys.iter()
            .map(|(key, value)| format!("{key}: {}\n", serde_json::to_string(value).unwrap()))
            .collect();
        let root = tempfile::tempdir().unwrap();
        let dir = in_root(root.path(), Path::new("/etc/rancher/k3s/config.yaml.d"));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("a.yaml"), text).unwrap();
        std::fs::write(dir.join("b.yaml"), lines).unwrap();
        if let Ok(s) = settings(root.path()) {
            prop_assert_eq!(s.node_name.to_lowercase(), s.node_name.clone());
            prop_assert!(s.data_dir.starts_with(&s.root) && s.dir.starts_with(&s.root));
            let _ = (s.bucket(), s.policies(Location::S3), s.new_name(), s.show_config(), s.machine_paths());
        }
    }
}

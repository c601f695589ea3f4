// SPDX-License-Identifier: Apache-2.0
//! Which distribution this machine runs: the one that is named, else the one that is found on it. Two are a question.

use std::path::Path;

use anyhow::Result;

use super::layer::Origin;
use super::load::{OUR_CONFIG, in_root};
use super::unit::unit_file::FOLDERS;
use crate::distribution::{ALL, Distribution, K3S};
use crate::error::{Code, Fault, Kind};

/// The option that names it.
pub(super) const OPTION: &str = "distribution";

/// The distribution, and where that was said. `named` is the option's value.
pub(super) fn choose(root: &Path, named: Option<(&str, &Origin)>) -> Result<(&'static Distribution, Origin)> {
    if let Some((word, origin)) = named {
        let known = ALL.into_iter().find(|f| f.word == word.to_ascii_lowercase());
        return known.map(|f| (f, origin.clone())).ok_or_else(|| unknown(word, origin));
    }
    let found: Vec<_> = ALL.into_iter().filter_map(|f| Some((f, sign(root, f)?))).collect();
    match found.as_slice() {
        [] => Ok((&K3S, Origin::Default)),
        [(distribution, sign)] => Ok((distribution, Origin::Derived(sign.clone()))),
        several => Err(which(several)),
    }
}

/// What shows that a distribution is on a machine, as a path of that machine; `None` where nothing does.
fn sign(root: &Path, distribution: &Distribution) -> Option<String> {
    let fixed = [
        distribution.data_dir.to_owned(),
        distribution.config.to_owned(),
        format!("{}.d", distribution.config),
    ];
    let units = FOLDERS.map(|folder| format!("{folder}/{}", distribution.unit));
    let programs = distribution.programs.iter().map(|p| (*p).to_owned());
    fixed.into_iter().chain(units).chain(programs).find(|path| {
        // A link out of the root would be this machine's; a unit that is masked is a link to a device.
        let real = in_root(root, Path::new(path)).canonicalize().ok();
        real.is_some_and(|real| real.starts_with(root) && (real.is_file() || real.is_dir()))
    })
}

fn unknown(word: &str, origin: &Origin) -> anyhow::Error {
    let kind = if matches!(origin, Origin::Flag(_)) { Kind::Usage } else { Kind::Config };
    let known = ALL.map(|f| f.word).join(" or ");
    let said = format!("option '{OPTION}' (value '{}', {origin}) is not {known}", word.escape_debug());
    Fault::new(Code::InvalidSetting, said).of_kind(kind).into()
}

fn which(found: &[(&Distribution, String)]) -> anyhow::Error {
    let places: Vec<String> = found.iter().map(|(f, sign)| format!("{} ('{sign}')", f.name)).collect();
    let flags: Vec<String> = found.iter().map(|(f, _)| format!("--{OPTION} {}", f.word)).collect();
    Fault::new(Code::DistributionAmbiguous, format!("both are on this machine: {}", places.join(" and ")))
        .hint(format!(
            "Say which one is meant: {}; or for good with '{OPTION}' in {OUR_CONFIG}.",
            flags.join(" or ")
        ))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{hint_of, kind_of};
    use std::os::unix::fs::symlink;

    /// A root with these: a folder where the path ends in a slash, a link where it holds an arrow, else a file.
    fn root(paths: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for path in paths {
            let (path, target) = path.split_once("->").map_or((*path, None), |(p, t)| (p, Some(t)));
            let full = in_root(root.path(), Path::new(path));
            std::fs::create_dir_all(full.parent().unwrap()).unwrap();
            match target {
                Some(target) => symlink(target, full).unwrap(),
                None if path.ends_with('/') => std::fs::create_dir_all(full).unwrap(),
                None => std::fs::write(full, "").unwrap(),
            }
        }
        root
    }

    fn chosen(paths: &[&str], named: Option<(&str, &Origin)>) -> Result<String> {
        let root = root(paths);
        choose(&root.path().canonicalize().unwrap(), named).map(|(f, o)| format!("{} {o}", f.word))
    }

    #[test]
    fn a_machine_shows_what_it_runs() {
        #[rustfmt::skip]
        let rows: &[(&str, &[&str], &str)] = &[
            ("nothing", &[], "k3s built-in default"),
            ("what both have, or anybody", &["/etc/rancher/node/password", "/run/k3s/", "/usr/bin/kubectl"], "k3s built-in default"),
            ("K3s's data", &["/var/lib/rancher/k3s/"], "k3s from /var/lib/rancher/k3s"),
            ("K3s's configuration", &["/etc/rancher/k3s/config.yaml"], "k3s from /etc/rancher/k3s/config.yaml"),
            ("K3s's unit", &["/etc/systemd/system/k3s.service"], "k3s from /etc/systemd/system/k3s.service"),
            ("K3s's program", &["/usr/local/bin/k3s"], "k3s from /usr/local/bin/k3s"),
            ("RKE2's data", &["/var/lib/rancher/rke2/"], "rke2 from /var/lib/rancher/rke2"),
            ("RKE2's configuration", &["/etc/rancher/rke2/config.yaml"], "rke2 from /etc/rancher/rke2/config.yaml"),
            ("its drop-ins alone", &["/etc/rancher/rke2/config.yaml.d/a.yaml"], "rke2 from /etc/rancher/rke2/config.yaml.d"),
            ("RKE2's unit of the tarball", &["/usr/local/lib/systemd/system/rke2-server.service"], "rke2 from /usr/local/lib/systemd/system/rke2-server.service"),
            ("RKE2's unit of the package", &["/usr/lib/systemd/system/rke2-server.service"], "rke2 from /usr/lib/systemd/system/rke2-server.service"),
            ("RKE2's program of the tarball", &["/usr/local/bin/rke2"], "rke2 from /usr/local/bin/rke2"),
            ("RKE2's program of the package", &["/usr/bin/rke2"], "rke2 from /usr/bin/rke2"),
            ("a folder of K3s that is empty of all this", &["/etc/rancher/k3s/", "/usr/bin/rke2"], "rke2 from /usr/bin/rke2"),
            ("K3s's unit masked", &["/etc/systemd/system/k3s.service->/dev/null", "/usr/bin/rke2"], "rke2 from /usr/bin/rke2"),
            ("a link inside", &["/data/rke2/", "/var/lib/rancher/rke2->../../../data/rke2"], "rke2 from /var/lib/rancher/rke2"),
            ("a link that leads out", &["/var/lib/rancher/rke2->/usr"], "k3s built-in default"),
            ("a link to nothing", &["/usr/bin/rke2->gone"], "k3s built-in default"),
        ];
        for (name, paths, want) in rows {
            assert_eq!(chosen(paths, None).unwrap(), *want, "{name}");
        }
    }

    #[test]
    fn two_are_a_question_that_the_option_answers() {
        let both = ["/usr/local/bin/k3s", "/var/lib/rancher/rke2/"];
        let e = chosen(&both, None).unwrap_err();
        assert_eq!(kind_of(&e), Kind::Config);
        assert_eq!(
            e.to_string(),
            "both are on this machine: K3s ('/usr/local/bin/k3s') and RKE2 ('/var/lib/rancher/rke2')"
        );
        assert!(hint_of(&e).unwrap().contains("--distribution k3s or --distribution rke2"));
        let flag = Origin::Flag("distribution".to_owned());
        for (word, want) in [("k3s", "k3s"), ("rke2", "rke2"), ("RKE2", "rke2"), ("K3s", "k3s")] {
            assert_eq!(chosen(&both, Some((word, &flag))).unwrap(), format!("{want} flag --distribution"));
            assert_eq!(chosen(&[], Some((word, &flag))).unwrap(), format!("{want} flag --distribution"));
        }
    }

    #[test]
    fn another_word_is_refused_where_it_was_said() {
        let flag = Origin::Flag("distribution".to_owned());
        let file = Origin::File("/etc/k3s-snapshot/config.yaml".to_owned(), 3);
        for (origin, kind, place) in [(flag, Kind::Usage, "flag"), (file, Kind::Config, "config.yaml:3")] {
            let e = chosen(&[], Some(("k0s", &origin))).unwrap_err();
            assert_eq!(kind_of(&e), kind);
            let said = e.to_string();
            assert!(said.contains("'k0s'") && said.contains(place) && said.contains("k3s or rke2"), "{said}");
        }
    }
}

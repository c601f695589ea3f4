// SPDX-License-Identifier: Apache-2.0
//! Which distribution this machine runs: the one that is set, else the one that is installed. Two are ambiguous.

use std::path::Path;

use anyhow::Result;

use super::layer::Origin;
use super::options::OptionId;
use super::paths::{OUR_CONFIG, openable};
use super::unit::UNIT_DIRS;
use crate::distribution::{ALL, Distribution, K3S};
use crate::error::{Code, Fault};

/// The distribution and where it is set. `named` is the value of the option.
///
/// # Errors
/// If the value is not the word of a distribution, or two distributions are installed and the option is not set.
pub(super) fn resolve(
    root: &Path,
    named: Option<(&str, &Origin)>,
) -> Result<(&'static Distribution, Origin)> {
    if let Some((word, origin)) = named {
        let known = ALL.into_iter().find(|d| d.word == word.to_ascii_lowercase());
        return known.map(|d| (d, origin.clone())).ok_or_else(|| unknown(word, origin));
    }
    let found: Vec<_> = ALL.into_iter().filter_map(|d| Some((d, detect(root, d)?))).collect();
    match found.as_slice() {
        [] => Ok((&K3S, Origin::Default)),
        [(distribution, path)] => Ok((distribution, Origin::Derived(path.clone()))),
        several => Err(ambiguous(several)),
    }
}

/// The path of the machine that shows that a distribution is installed; `None` if there is none.
fn detect(root: &Path, distribution: &Distribution) -> Option<String> {
    let fixed = [
        distribution.data_dir.to_owned(),
        distribution.config.to_owned(),
        format!("{}.d", distribution.config),
    ];
    let units = UNIT_DIRS.map(|dir| format!("{dir}/{}", distribution.unit));
    let programs = distribution.programs.iter().map(|p| (*p).to_owned());
    fixed.into_iter().chain(units).chain(programs).find(|path| {
        // A unit that is masked is a link to a device.
        openable(root, Path::new(path)).is_ok_and(|path| path.is_file() || path.is_dir())
    })
}

fn unknown(word: &str, origin: &Origin) -> anyhow::Error {
    let known = ALL.map(|d| d.word).join(" or ");
    let option = OptionId::Distribution.name();
    let message = format!("option '{option}' (value '{}', {origin}) is not {known}", word.escape_debug());
    Fault::new(Code::InvalidSetting, message).of_kind(origin.error_kind()).into()
}

fn ambiguous(found: &[(&Distribution, String)]) -> anyhow::Error {
    let option = OptionId::Distribution.name();
    let places: Vec<String> = found.iter().map(|(d, path)| format!("{} ('{path}')", d.name)).collect();
    let flags: Vec<String> = found.iter().map(|(d, _)| format!("--{option} {}", d.word)).collect();
    let message = format!("this machine has {}", places.join(" and "));
    Fault::new(Code::DistributionAmbiguous, message)
        .hint(format!("Choose one with {}, or set '{option}' in {OUR_CONFIG}.", flags.join(" or ")))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::paths::in_root;
    use crate::error::{Kind, code_of, hint_of, kind_of};
    use std::os::unix::fs::symlink;

    /// A root with these paths: a directory if the path ends in a slash, a link if it has an arrow, else a file.
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
        resolve(&root.path().canonicalize().unwrap(), named).map(|(f, o)| format!("{} {o}", f.word))
    }

    #[test]
    fn the_installed_distribution_is_detected() {
        #[rustfmt::skip]
        let rows: &[(&str, &[&str], &str)] = &[
            ("nothing is installed", &[], "k3s built-in default"),
            ("paths of both, or of other programs", &["/etc/rancher/node/password", "/run/k3s/", "/usr/bin/kubectl"], "k3s built-in default"),
            ("K3s's data", &["/var/lib/rancher/k3s/"], "k3s from /var/lib/rancher/k3s"),
            ("K3s's configuration", &["/etc/rancher/k3s/config.yaml"], "k3s from /etc/rancher/k3s/config.yaml"),
            ("K3s's unit", &["/etc/systemd/system/k3s.service"], "k3s from /etc/systemd/system/k3s.service"),
            ("K3s's program", &["/usr/local/bin/k3s"], "k3s from /usr/local/bin/k3s"),
            ("RKE2's data", &["/var/lib/rancher/rke2/"], "rke2 from /var/lib/rancher/rke2"),
            ("RKE2's configuration", &["/etc/rancher/rke2/config.yaml"], "rke2 from /etc/rancher/rke2/config.yaml"),
            ("only its drop-ins", &["/etc/rancher/rke2/config.yaml.d/a.yaml"], "rke2 from /etc/rancher/rke2/config.yaml.d"),
            ("RKE2's unit of the tarball", &["/usr/local/lib/systemd/system/rke2-server.service"], "rke2 from /usr/local/lib/systemd/system/rke2-server.service"),
            ("RKE2's unit of the package", &["/usr/lib/systemd/system/rke2-server.service"], "rke2 from /usr/lib/systemd/system/rke2-server.service"),
            ("RKE2's program of the tarball", &["/usr/local/bin/rke2"], "rke2 from /usr/local/bin/rke2"),
            ("RKE2's program of the package", &["/usr/bin/rke2"], "rke2 from /usr/bin/rke2"),
            ("a directory of K3s without its configuration", &["/etc/rancher/k3s/", "/usr/bin/rke2"], "rke2 from /usr/bin/rke2"),
            ("K3s's unit masked", &["/etc/systemd/system/k3s.service->/dev/null", "/usr/bin/rke2"], "rke2 from /usr/bin/rke2"),
            ("a link inside", &["/data/rke2/", "/var/lib/rancher/rke2->../../../data/rke2"], "rke2 from /var/lib/rancher/rke2"),
            ("an absolute link, as that machine follows it", &["/data/rke2/", "/var/lib/rancher->/data"], "rke2 from /var/lib/rancher/rke2"),
            ("a link to a path of this machine alone", &["/var/lib/rancher/rke2->/usr"], "k3s built-in default"),
            ("a link to nothing", &["/usr/bin/rke2->gone"], "k3s built-in default"),
        ];
        for (name, paths, want) in rows {
            assert_eq!(chosen(paths, None).unwrap(), *want, "{name}");
        }
    }

    #[test]
    fn two_distributions_are_ambiguous_unless_the_option_is_set() {
        let both = ["/usr/local/bin/k3s", "/var/lib/rancher/rke2/"];
        let e = chosen(&both, None).unwrap_err();
        assert_eq!((code_of(&e), kind_of(&e)), (Code::DistributionAmbiguous, Kind::Config));
        let message = e.to_string();
        assert!(
            ["/usr/local/bin/k3s", "/var/lib/rancher/rke2"].iter().all(|p| message.contains(p)),
            "{message}"
        );
        assert!(hint_of(&e).unwrap().contains("--distribution k3s or --distribution rke2"));
        let flag = Origin::Flag("distribution".to_owned());
        for (word, want) in [("k3s", "k3s"), ("rke2", "rke2"), ("RKE2", "rke2"), ("K3s", "k3s")] {
            assert_eq!(chosen(&both, Some((word, &flag))).unwrap(), format!("{want} flag --distribution"));
            assert_eq!(chosen(&[], Some((word, &flag))).unwrap(), format!("{want} flag --distribution"));
        }
    }

    #[test]
    fn another_word_is_an_error_with_its_origin() {
        let flag = Origin::Flag("distribution".to_owned());
        let file = Origin::File("/etc/k3s-snapshot/config.yaml".to_owned(), 3);
        for (origin, kind, place) in [(flag, Kind::Usage, "flag"), (file, Kind::Config, "config.yaml:3")] {
            let e = chosen(&[], Some(("k0s", &origin))).unwrap_err();
            assert_eq!(kind_of(&e), kind);
            let message = e.to_string();
            let parts = ["'k0s'", place, "k3s or rke2"];
            assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
//! Unit files below a root that is not this machine's, where no systemd can be asked: its folders in its order, drop-ins,
//! quotes, lines that go on, and the specifiers of a unit's name. See systemd.unit(5).

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::env_file::is_name;
use super::quoting;
use crate::config::load::{in_root, unreadable};
use crate::distribution::Distribution;
use crate::error::{Code, Fault};
use crate::model::unit::{Definition, the_one};

/// Where units lie; what lies in an earlier folder hides what is called the same in a later one.
pub(in crate::config) const FOLDERS: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
const SUFFIX: &str = ".service";
/// So many links may follow one another.
const LINKS: usize = 16;

/// K3s's unit below this root: the one that is wanted, else the one of the usual name, else the one that runs K3s.
pub(in crate::config) fn find(
    root: &Path,
    distribution: &Distribution,
    wanted: Option<&str>,
) -> Result<Option<Definition>> {
    let name = match wanted {
        Some(name) if !name.ends_with(SUFFIX) => format!("{name}{SUFFIX}"),
        name => name.unwrap_or(distribution.unit).to_owned(),
    };
    if let Some(definition) = load(root, &name)? {
        return Ok(Some(definition));
    }
    if wanted.is_some() {
        let why = format!("there is no unit '{}' below '{}'", name.escape_debug(), root.display());
        return Err(Fault::new(Code::UnitAmbiguous, why)
            .hint(format!("Name {}'s unit with --unit.", distribution.name))
            .into());
    }
    let mut names = Vec::new();
    for folder in FOLDERS {
        names.extend(list(&in_root(root, Path::new(folder)), SUFFIX)?);
    }
    names.sort();
    names.dedup();
    let mut all = Vec::new();
    for name in names.iter().filter(|n| !n.ends_with(&format!("@{SUFFIX}"))) {
        all.extend(load(root, name)?);
    }
    match the_one(&all, distribution.program) {
        Ok(one) => Ok(Some(one.clone())),
        Err(several) => {
            if !several.is_empty() {
                log::warn!(
                    "several units run {} ({}); name one with --unit",
                    distribution.name,
                    several.join(", ")
                );
            }
            Ok(None)
        }
    }
}

/// A unit with its drop-ins; `None` where it has no file, or is masked.
fn load(root: &Path, name: &str) -> Result<Option<Definition>> {
    if name.contains('/') {
        return Ok(None);
    }
    let stem = name.strip_suffix(SUFFIX).unwrap_or(name);
    // An instance may be made from a template.
    let template = stem.split_once('@').map(|(prefix, _)| format!("{prefix}@{SUFFIX}"));
    let names: Vec<&str> = std::iter::once(name).chain(template.as_deref()).collect();
    let mut text = None;
    for (name, folder) in names.iter().flat_map(|n| FOLDERS.map(|f| (n, f))) {
        text = read(root, &in_root(root, Path::new(folder)).join(name))?;
        if text.is_some() {
            break;
        }
    }
    // An empty file masks as well as a link to nothing does.
    let Some(text) = text.filter(|t| !t.trim().is_empty()) else { return Ok(None) };
    let mut unit = Reader { definition: Definition { name: name.to_owned(), ..Definition::default() } };
    unit.take(&text);
    let mut drop_ins: BTreeMap<String, PathBuf> = BTreeMap::new();
    for folder in drop_in_folders(&names, stem).iter().flat_map(|d| FOLDERS.map(|f| Path::new(f).join(d))) {
        let folder = in_root(root, &folder);
        for file in list(&folder, ".conf")? {
            let path = folder.join(&file);
            drop_ins.entry(file).or_insert(path);
        }
    }
    for path in drop_ins.values() {
        unit.take(&read(root, path)?.unwrap_or_default());
    }
    Ok(Some(unit.definition))
}

/// The names of the folders of drop-ins, the most particular one first: `a-b.service.d`, `a-.service.d`, `service.d`.
fn drop_in_folders(names: &[&str], stem: &str) -> Vec<String> {
    let mut all: Vec<String> = names.iter().map(|name| format!("{name}.d")).collect();
    let stem = stem.split('@').next().unwrap_or(stem);
    let dashes = stem.match_indices('-').map(|(at, _)| at).filter(|at| *at > 0).rev();
    all.extend(dashes.filter_map(|at| stem.get(..=at)).map(|prefix| format!("{prefix}{SUFFIX}.d")));
    all.push("service.d".to_owned());
    all
}

/// The names in a folder that end so; none where there is no such folder.
fn list(folder: &Path, suffix: &str) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(e) => return Err(unreadable(folder, e)),
    };
    let names = entries.filter_map(|e| e.ok()?.file_name().into_string().ok());
    Ok(names.filter(|n| n.ends_with(suffix)).collect())
}

/// The text of a file below the root; `None` where it is not there, empty where a link to `/dev/null` hides it. A link is
/// followed as that machine would follow it, and never out of the root.
pub(super) fn read(root: &Path, path: &Path) -> Result<Option<String>> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        let Ok(target) = std::fs::read_link(&path) else { break };
        if target == Path::new("/dev/null") {
            return Ok(Some(String::new()));
        }
        path = match target.is_absolute() {
            true => in_root(root, &target),
            false => path.parent().unwrap_or(root).join(target),
        };
    }
    match path.canonicalize() {
        Ok(real) if real.starts_with(root) => {}
        Ok(real) => {
            log::debug!("'{}' leads out of '{}' and is not read", real.display(), root.display());
            return Ok(None);
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(unreadable(&path, e)),
    }
    match std::fs::read(&path) {
        // What is not UTF-8 is nothing that is looked for.
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(e) => Err(unreadable(&path, e)),
    }
}

struct Reader {
    definition: Definition,
}

impl Reader {
    /// Takes what one more file says.
    fn take(&mut self, text: &str) {
        let mut section = String::new();
        for line in joined(text) {
            let line = line.trim();
            if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                section = name.to_owned();
            } else if let Some((key, value)) = line.split_once('=').filter(|_| section == "Service") {
                self.set(key.trim_end(), value.trim_start());
            }
        }
    }

    /// An empty value takes back what was said before.
    fn set(&mut self, key: &str, value: &str) {
        match key {
            "ExecStart" if value.is_empty() => self.definition.exec_start.clear(),
            "ExecStart" if self.definition.exec_start.is_empty() => self.exec_start(value),
            "Environment" if value.is_empty() => self.definition.environment.clear(),
            "Environment" => {
                for word in quoting::split(value).unwrap_or_default() {
                    let word = self.specified(&word);
                    if let Some((name, value)) = word.split_once('=').filter(|(name, _)| is_name(name)) {
                        self.definition.environment.push((name.to_owned(), value.to_owned()));
                    }
                }
            }
            "EnvironmentFile" if value.is_empty() => self.definition.environment_files.clear(),
            "EnvironmentFile" => {
                let (path, may_be_missing) = value.strip_prefix('-').map_or((value, false), |p| (p, true));
                let path = PathBuf::from(self.specified(path));
                self.definition.environment_files.push((path, may_be_missing));
            }
            _ => {}
        }
    }

    fn exec_start(&mut self, value: &str) {
        let path = value.trim_start_matches(['@', '-', ':', '+', '!', '|']);
        let signs = value.get(..value.len() - path.len()).unwrap_or_default();
        let mut rest = path;
        let mut argv = Vec::new();
        // A semicolon of its own begins another command.
        while !(rest == ";"
            || rest.starts_with(';') && rest.get(1..).is_some_and(|r| r.starts_with(quoting::BLANK)))
        {
            let escaped = rest == "\\;" || rest.starts_with("\\; ");
            let word = match escaped {
                true => {
                    rest = rest.get(2..).unwrap_or_default().trim_start();
                    Some(Some(";".to_owned()))
                }
                false => quoting::next(&mut rest),
            };
            match word {
                Some(Some(word)) => argv.push(self.specified(&word)),
                Some(None) => break,
                None => return, // as systemd: not understood, not heeded
            }
        }
        if signs.contains('@') && argv.len() > 1 {
            argv.remove(1); // the name that the program is told
        }
        self.definition.verbatim = signs.contains(':');
        self.definition.exec_start = argv;
    }

    /// The specifiers of the unit's name. Others need the machine; they stay as they are.
    fn specified(&self, text: &str) -> String {
        let name = self.definition.name.as_str();
        let stem = name.strip_suffix(SUFFIX).unwrap_or(name);
        let (prefix, instance) = stem.split_once('@').unwrap_or((stem, ""));
        let mut all = String::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                all.push(c);
                continue;
            }
            match chars.next() {
                Some('n') => all.push_str(name),
                Some('N') => all.push_str(stem),
                Some('p') => all.push_str(prefix),
                Some('i') => all.push_str(instance),
                Some('%') | None => all.push('%'),
                Some(other) => all.extend(['%', other]),
            }
        }
        all
    }
}

/// The lines without comments, each with those that go on after a backslash.
fn joined(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines() {
        if line.trim_start().starts_with(['#', ';']) {
            continue;
        }
        let goes_on = line.ends_with('\\');
        let line = line.strip_suffix('\\').unwrap_or(line);
        let whole = match open.take() {
            Some(before) => format!("{before} {line}"),
            None => line.to_owned(),
        };
        match goes_on {
            true => open = Some(whole),
            false => all.push(whole),
        }
    }
    all.extend(open);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distribution::K3S;
    use crate::error::Kind;
    use crate::error::kind_of;
    use std::os::unix::fs::symlink;

    const ETC: &str = "/etc/systemd/system";
    const VENDOR: &str = "/usr/lib/systemd/system";

    /// A root with these files; a text that begins with `->` is a link.
    fn root(files: &[(&str, &str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (folder, name, text) in files {
            let path = in_root(root.path(), Path::new(folder)).join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            match text.strip_prefix("->") {
                Some(target) => symlink(target, path).unwrap(),
                None => std::fs::write(path, text).unwrap(),
            }
        }
        root
    }

    fn found(files: &[(&str, &str, &str)], wanted: Option<&str>) -> Option<Definition> {
        let root = root(files);
        find(&root.path().canonicalize().unwrap(), &K3S, wanted).unwrap()
    }

    fn line(d: Option<Definition>) -> String {
        d.map_or_else(|| "none".to_owned(), |d| d.exec_start.join("|"))
    }

    #[test]
    fn a_unit_is_read_as_systemd_reads_it() {
        let text = "\
[Unit]
ExecStart=/no
[Service]
# a comment
Environment=\"A=1 2\" B='3' bad
EnvironmentFile=-/etc/default/%N
EnvironmentFile=/etc/%p.env
ExecStartPre=-/sbin/modprobe x
ExecStart=/usr/local/bin/k3s \\
    server \\
    # a comment in between
\t'--data-dir' \\
    \"/a b/%n/100%%\" ; /bin/true
";
        let d = found(&[(ETC, "k3s.service", text)], None).unwrap();
        assert_eq!(d.name, "k3s.service");
        assert_eq!(d.exec_start, ["/usr/local/bin/k3s", "server", "--data-dir", "/a b/k3s.service/100%"]);
        assert_eq!(d.environment, [("A", "1 2"), ("B", "3")].map(|(n, v)| (n.to_owned(), v.to_owned())));
        let files = [("/etc/default/k3s", true), ("/etc/k3s.env", false)];
        assert_eq!(d.environment_files, files.map(|(p, m)| (PathBuf::from(p), m)));
    }

    #[test]
    fn signs_before_the_program_and_its_other_name_are_no_arguments() {
        for (text, want, verbatim) in [
            ("-/k3s server", "/k3s|server", false),
            ("@/k3s other server $A", "/k3s|server|$A", false),
            (":-/k3s server", "/k3s|server", true),
            ("/k3s server \\; x", "/k3s|server|;|x", false),
            ("/k3s 'server", "", false),
        ] {
            let d = found(&[(ETC, "k3s.service", &format!("[Service]\nExecStart={text}\n"))], None).unwrap();
            assert_eq!((d.exec_start.join("|").as_str(), d.verbatim), (want, verbatim), "{text}");
        }
    }

    #[test]
    fn folders_and_drop_ins_have_their_order() {
        let start = |name: &str| format!("[Service]\nExecStart=/k3s server --node-name={name}\n");
        let again = |name: &str| format!("[Service]\nExecStart=\nExecStart=/k3s server --node-name={name}\n");
        let name = |files: &[(&str, &str, &str)], unit: &str| line(found(files, Some(unit)));
        let (a, b, c) = (start("a"), again("b"), again("c"));
        for (rule, files, unit, want) in [
            (
                "an earlier folder hides a later",
                vec![(ETC, "k.service", a.as_str()), (VENDOR, "k.service", &b)],
                "k",
                "a",
            ),
            (
                "a drop-in comes after",
                vec![(ETC, "k.service", &a), (VENDOR, "k.service.d/x.conf", &b)],
                "k",
                "b",
            ),
            (
                "drop-ins by their names",
                vec![
                    (ETC, "k.service", &a),
                    (ETC, "k.service.d/1.conf", &c),
                    (VENDOR, "k.service.d/2.conf", &b),
                ],
                "k",
                "b",
            ),
            (
                "one of the same name in an earlier folder hides",
                vec![
                    (ETC, "k.service", &a),
                    (ETC, "k.service.d/1.conf", &c),
                    (VENDOR, "k.service.d/1.conf", &b),
                ],
                "k",
                "c",
            ),
            (
                "one for all with that beginning",
                vec![(ETC, "k3s-x.service", &a), (ETC, "k3s-.service.d/1.conf", &b)],
                "k3s-x",
                "b",
            ),
            (
                "the particular one hides it",
                vec![
                    (ETC, "k3s-x.service", &a),
                    (ETC, "k3s-.service.d/1.conf", &b),
                    (ETC, "k3s-x.service.d/1.conf", &c),
                ],
                "k3s-x",
                "c",
            ),
            ("one for all services", vec![(ETC, "k.service", &a), (ETC, "service.d/1.conf", &b)], "k", "b"),
            (
                "a masked drop-in",
                vec![
                    (ETC, "k.service", &a),
                    (ETC, "k.service.d/1.conf", "->/dev/null"),
                    (VENDOR, "k.service.d/1.conf", &b),
                ],
                "k",
                "a",
            ),
            (
                "another ending is no drop-in",
                vec![(ETC, "k.service", &a), (ETC, "k.service.d/1.bak", &b)],
                "k",
                "a",
            ),
            (
                "a link",
                vec![
                    (ETC, "k.service", "->/usr/lib/systemd/system/other.service"),
                    (VENDOR, "other.service", &b),
                ],
                "k",
                "b",
            ),
            (
                "a template",
                vec![(ETC, "k@.service", "[Service]\nExecStart=/k3s server --node-name=%i\n")],
                "k@z",
                "z",
            ),
        ] {
            assert_eq!(name(&files, unit), format!("/k3s|server|--node-name={want}"), "{rule}");
        }
        assert_eq!(
            line(found(&[(ETC, "k3s.service", "->/dev/null"), (VENDOR, "k3s.service", &a)], None)),
            "none"
        );
    }

    #[test]
    fn without_the_usual_name_the_one_that_runs_k3s_is_found() {
        let k3s = "[Service]\nExecStart=/k3s server\n";
        let agent = "[Service]\nExecStart=/k3s agent\n";
        let other = "[Service]\nExecStart=/bin/sh\n";
        let files =
            [(ETC, "k3s-blue.service", k3s), (ETC, "a.service", other), (ETC, "k3s-agent.service", agent)];
        assert_eq!(found(&files, None).unwrap().name, "k3s-blue.service");
        assert_eq!(found(&files[1..], None).unwrap().name, "k3s-agent.service");
        assert!(found(&files[1..2], None).is_none());
        assert!(found(&[files[0], (ETC, "k3s-red.service", k3s)], None).is_none());
        assert!(found(&[], None).is_none());
    }

    #[test]
    fn a_unit_that_was_named_must_be_there_and_no_link_leads_out() {
        let outside = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(outside.path(), "[Service]\nExecStart=/k3s server\n").unwrap();
        let root = tempfile::tempdir().unwrap();
        let folder = in_root(root.path(), Path::new(ETC));
        std::fs::create_dir_all(&folder).unwrap();
        let up =
            format!("../../../{}{}", "../".repeat(12), outside.path().strip_prefix("/").unwrap().display());
        symlink(up, folder.join("k3s.service")).unwrap();
        let real = root.path().canonicalize().unwrap();
        assert!(find(&real, &K3S, None).unwrap().is_none());
        let e = find(&real, &K3S, Some("k3s")).unwrap_err();
        assert_eq!(kind_of(&e), Kind::Config);
        assert!(e.to_string().contains("'k3s.service'"), "{e}");
    }
}

// SPDX-License-Identifier: Apache-2.0
//! Unit files, read when systemd cannot be asked: below `--root`, in a generator, or when systemd does not answer. Directories
//! in the order of systemd, drop-ins, quotes, continued lines, and the specifiers of the name of a unit. See systemd.unit(5).

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::env_file::is_name;
use super::quoting;
use crate::config::paths::{follow_links, in_root, is_dangling_link, link_target, openable, read_error};
use crate::distribution::Distribution;
use crate::error::{Code, Fault};
use crate::model::unit::{Definition, UnitAnswer};

/// Where units are. A unit in an earlier directory hides one of the same name in a later one.
pub(in crate::config) const UNIT_DIRS: [&str; 13] = [
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/run/systemd/transient",
    "/run/systemd/generator.early",
    "/etc/systemd/system",
    "/etc/systemd/system.attached",
    "/run/systemd/system",
    "/run/systemd/system.attached",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
    "/run/systemd/generator.late",
];
const SUFFIX: &str = ".service";

/// The K3s service below this root: the unit that is wanted, else the one of the usual name, else the one that runs K3s.
///
/// # Errors
/// If a unit file cannot be read, or the wanted unit does not exist.
pub(crate) fn find(root: &Path, distribution: &Distribution, wanted: Option<&str>) -> Result<UnitAnswer> {
    let name = match wanted {
        Some(name) if !name.ends_with(SUFFIX) => format!("{name}{SUFFIX}"),
        name => name.unwrap_or(distribution.unit).to_owned(),
    };
    let dirs = existing_dirs(root);
    if let Some(definition) = load_from(root, &dirs, &name)? {
        return Ok(UnitAnswer::Found(definition));
    }
    if wanted.is_some() {
        let message = format!("there is no unit '{}' below '{}'", name.escape_debug(), root.display());
        return Err(Fault::new(Code::UnitNotFound, message)
            .hint(format!("Name the unit of {} with --unit.", distribution.name))
            .into());
    }
    let file_of = |dir: &str| Path::new(dir).join(&name);
    if let Some(link) = UNIT_DIRS.iter().map(|dir| file_of(dir)).find(|file| is_dangling_link(root, file)) {
        let reason = format!("the unit '{}' is a link to a file that does not exist", link.display());
        return Ok(UnitAnswer::Unknown(reason));
    }
    let mut names = Vec::new();
    for dir in &dirs {
        names.extend(list(&openable(root, Path::new(dir))?, SUFFIX)?);
    }
    names.sort();
    names.dedup();
    let mut units = Vec::new();
    for name in names.iter().filter(|n| !n.ends_with(&format!("@{SUFFIX}"))) {
        units.extend(load_from(root, &dirs, name)?);
    }
    Ok(UnitAnswer::from_units(&units, distribution))
}

/// The directories of units without those that do not exist: most machines have few of them, and each unit is searched for
/// in all of them.
fn existing_dirs(root: &Path) -> Vec<&'static str> {
    let is_absent = |dir: &str| {
        let found = openable(root, Path::new(dir)).map(std::fs::metadata);
        matches!(found, Ok(Err(e)) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory))
    };
    UNIT_DIRS.into_iter().filter(|dir| !is_absent(dir)).collect()
}

/// A unit with its drop-ins; `None` if it has no file, or is masked.
pub(super) fn load(root: &Path, name: &str) -> Result<Option<Definition>> {
    load_from(root, &existing_dirs(root), name)
}

fn load_from(root: &Path, dirs: &[&str], name: &str) -> Result<Option<Definition>> {
    if name.contains('/') {
        return Ok(None);
    }
    let stem = name.strip_suffix(SUFFIX).unwrap_or(name);
    // An instance may be made from a template.
    let template = stem.split_once('@').map(|(prefix, _)| format!("{prefix}@{SUFFIX}"));
    let names: Vec<&str> = std::iter::once(name).chain(template.as_deref()).collect();
    let mut text = None;
    for (name, dir) in names.iter().flat_map(|n| dirs.iter().map(move |dir| (n, dir))) {
        text = read(root, &Path::new(dir).join(name))?;
        if text.is_some() {
            break;
        }
    }
    // An empty file masks a unit, and so does a link to /dev/null.
    let Some(text) = text.filter(|t| !t.trim().is_empty()) else { return Ok(None) };
    let mut unit = UnitFileParser::new(name);
    unit.parse(&text);
    let mut drop_ins: BTreeMap<String, PathBuf> = BTreeMap::new();
    let drop_in_dirs = drop_in_dirs(&names, stem);
    for dir in drop_in_dirs.iter().flat_map(|d| dirs.iter().map(move |dir| Path::new(dir).join(d))) {
        for file in list(&openable(root, &dir)?, ".conf")? {
            let path = dir.join(&file);
            drop_ins.entry(file).or_insert(path);
        }
    }
    for path in drop_ins.values() {
        match read(root, path)? {
            Some(text) => unit.parse(&text),
            // It was listed a moment ago.
            None => {
                let reason = format!("the drop-in '{}' of {name} does not exist any more", path.display());
                unit.definition.unknown = Some(reason);
            }
        }
    }
    Ok(Some(unit.definition))
}

/// A unit of this name with this text, without drop-ins.
pub(super) fn from_text(name: &str, text: &str) -> Definition {
    let mut unit = UnitFileParser::new(name);
    unit.parse(text);
    unit.definition
}

/// The names of the directories of drop-ins, the most specific first: `a-b.service.d`, `a-.service.d`, `service.d`.
fn drop_in_dirs(names: &[&str], stem: &str) -> Vec<String> {
    let mut all: Vec<String> = names.iter().map(|name| format!("{name}.d")).collect();
    let stem = stem.split('@').next().unwrap_or(stem);
    let dashes = stem.match_indices('-').map(|(at, _)| at).filter(|at| *at > 0).rev();
    all.extend(dashes.filter_map(|at| stem.get(..=at)).map(|prefix| format!("{prefix}{SUFFIX}.d")));
    all.push("service.d".to_owned());
    all
}

/// The names in a directory that have this suffix; none if there is no such directory.
fn list(dir: &Path, suffix: &str) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(e) => return Err(read_error(dir, e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(|e| read_error(dir, e))?.file_name();
        names.extend(name.into_string().ok().filter(|n| n.ends_with(suffix)));
    }
    Ok(names)
}

/// The text of a file of the machine below the root; `None` if it does not exist, empty if a link to `/dev/null` hides it.
/// Links are followed as that machine follows them.
///
/// # Errors
/// If the file exists and cannot be read, or too many links follow one another.
pub(super) fn read(root: &Path, path: &Path) -> Result<Option<String>> {
    // Below another root, /dev/null need not be there.
    match follow_links(path, &|link| link_target(root, link)) {
        Some(target) if target == Path::new("/dev/null") => return Ok(Some(String::new())),
        _ => {}
    }
    match std::fs::read(openable(root, path)?) {
        // Text that is not UTF-8 is nothing that is looked for.
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(read_error(&in_root(root, path), e)),
    }
}

struct UnitFileParser {
    definition: Definition,
}

impl UnitFileParser {
    fn new(name: &str) -> UnitFileParser {
        UnitFileParser { definition: Definition { name: name.to_owned(), ..Definition::default() } }
    }

    /// Adds the settings of one more file.
    fn parse(&mut self, text: &str) {
        let mut section = String::new();
        for line in join_continuations(text) {
            let line = line.trim();
            if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                section = name.to_owned();
            } else if let Some((key, value)) = line.split_once('=').filter(|_| section == "Service") {
                self.set(key.trim_end(), value.trim_start());
            }
        }
    }

    /// An empty value removes what was set before.
    fn set(&mut self, key: &str, value: &str) {
        match key {
            "ExecStart" if value.is_empty() => self.definition.exec_start.clear(),
            "ExecStart" if self.definition.exec_start.is_empty() => self.exec_start(value),
            "Environment" if value.is_empty() => self.definition.environment.clear(),
            "Environment" => {
                for word in quoting::split(value).unwrap_or_default() {
                    let word = self.expand_specifiers(&word);
                    if let Some((name, value)) = word.split_once('=').filter(|(name, _)| is_name(name)) {
                        self.definition.environment.push((name.to_owned(), value.to_owned()));
                    }
                }
            }
            "EnvironmentFile" if value.is_empty() => self.definition.environment_files.clear(),
            "EnvironmentFile" => {
                let (path, may_be_missing) = value.strip_prefix('-').map_or((value, false), |p| (p, true));
                let path = PathBuf::from(self.expand_specifiers(path));
                self.definition.environment_files.push((path, may_be_missing));
            }
            "WorkingDirectory" => {
                let path = PathBuf::from(self.expand_specifiers(value.trim_start_matches('-')));
                self.definition.working_directory = Some(path).filter(|p| p.is_absolute());
            }
            _ => {}
        }
    }

    fn exec_start(&mut self, value: &str) {
        let path = value.trim_start_matches(['@', '-', ':', '+', '!', '|']);
        let signs = value.get(..value.len() - path.len()).unwrap_or_default();
        let mut rest = path;
        let mut argv = Vec::new();
        // A semicolon as a word of its own begins another command.
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
                Some(Some(word)) => argv.push(self.expand_specifiers(&word)),
                Some(None) => break,
                None => return, // systemd ignores a line that it does not understand
            }
        }
        if signs.contains('@') && argv.len() > 1 {
            argv.remove(1); // the name that the process gets instead of the path
        }
        self.definition.verbatim = signs.contains(':');
        self.definition.exec_start = argv;
    }

    /// Expands the specifiers of the name of the unit. Others need the running machine; they stay as they are.
    fn expand_specifiers(&self, text: &str) -> String {
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

/// The lines without comments, each with the lines that continue it after a backslash.
fn join_continuations(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines() {
        if line.trim_start().starts_with(['#', ';']) {
            continue;
        }
        let continues = line.ends_with('\\');
        let line = line.strip_suffix('\\').unwrap_or(line);
        let whole = match open.take() {
            Some(before) => format!("{before} {line}"),
            None => line.to_owned(),
        };
        match continues {
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
    use crate::error::code_of;
    use std::os::unix::fs::symlink;

    const ETC: &str = "/etc/systemd/system";
    const VENDOR: &str = "/usr/lib/systemd/system";

    /// A root with these files; a text that begins with `->` is a link.
    fn root(files: &[(&str, &str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (dir, name, text) in files {
            let path = in_root(root.path(), Path::new(dir)).join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            match text.strip_prefix("->") {
                Some(target) => symlink(target, path).unwrap(),
                None => std::fs::write(path, text).unwrap(),
            }
        }
        root
    }

    fn answer(files: &[(&str, &str, &str)], wanted: Option<&str>) -> UnitAnswer {
        let root = root(files);
        find(&root.path().canonicalize().unwrap(), &K3S, wanted).unwrap()
    }

    fn found(files: &[(&str, &str, &str)], wanted: Option<&str>) -> Option<Definition> {
        match answer(files, wanted) {
            UnitAnswer::Found(definition) => Some(definition),
            _ => None,
        }
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
Environment=\"A=1 2\" B='3' broken
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
    fn prefixes_of_the_program_and_its_other_name_are_no_arguments() {
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
    fn directories_and_drop_ins_have_their_order() {
        let start = |name: &str| format!("[Service]\nExecStart=/k3s server --node-name={name}\n");
        let again = |name: &str| format!("[Service]\nExecStart=\nExecStart=/k3s server --node-name={name}\n");
        let name = |files: &[(&str, &str, &str)], unit: &str| line(found(files, Some(unit)));
        let (a, b, c) = (start("a"), again("b"), again("c"));
        for (rule, files, unit, want) in [
            (
                "an earlier directory hides a later one",
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
                "a drop-in in an earlier directory hides one of the same name",
                vec![
                    (ETC, "k.service", &a),
                    (ETC, "k.service.d/1.conf", &c),
                    (VENDOR, "k.service.d/1.conf", &b),
                ],
                "k",
                "c",
            ),
            (
                "a drop-in for all units with that prefix",
                vec![(ETC, "k3s-x.service", &a), (ETC, "k3s-.service.d/1.conf", &b)],
                "k3s-x",
                "b",
            ),
            (
                "the more specific one hides it",
                vec![
                    (ETC, "k3s-x.service", &a),
                    (ETC, "k3s-.service.d/1.conf", &b),
                    (ETC, "k3s-x.service.d/1.conf", &c),
                ],
                "k3s-x",
                "c",
            ),
            (
                "a drop-in for all services",
                vec![(ETC, "k.service", &a), (ETC, "service.d/1.conf", &b)],
                "k",
                "b",
            ),
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
                "a file with another suffix is no drop-in",
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
        assert!(found(&[], None).is_none());
    }

    #[test]
    fn a_unit_that_was_named_must_exist_and_a_link_never_leads_out_of_the_root() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("k3s.service"), "[Service]\nExecStart=/k3s server -d /host\n")
            .unwrap();
        let up = format!("->{}{}", "../".repeat(12), outside.path().strip_prefix("/").unwrap().display());
        for link in [up, format!("->{}", outside.path().display())] {
            let root = root(&[("/etc", "systemd", &link)]);
            let real = root.path().canonicalize().unwrap();
            assert_eq!(find(&real, &K3S, None).unwrap(), UnitAnswer::Absent);
            let e = find(&real, &K3S, Some("k3s")).unwrap_err();
            assert_eq!(code_of(&e), Code::UnitNotFound);
            assert!(e.to_string().contains("'k3s.service'"), "{e}");
        }
    }

    #[test]
    fn which_of_several_units_is_meant_is_unknown_and_so_are_the_flags_behind_a_shell() {
        let k3s = "[Service]\nExecStart=/k3s server\n";
        let several = answer(&[(ETC, "k3s-blue.service", k3s), (ETC, "k3s-red.service", k3s)], None);
        assert!(
            matches!(several, UnitAnswer::Unknown(why) if why.contains("k3s-blue.service, k3s-red.service"))
        );
        let shell = "[Service]\nExecStart=/bin/sh -c 'exec /usr/local/bin/k3s server --data-dir /x'\n";
        let by_shell = answer(&[(ETC, "cluster.service", shell)], None);
        assert!(matches!(by_shell, UnitAnswer::Unknown(why) if why.contains("cluster.service")));
        let other = "[Service]\nExecStart=/bin/sh -c 'k3s kubectl get nodes'\n";
        assert_eq!(answer(&[(ETC, "nodes.service", other)], None), UnitAnswer::Absent);
    }

    #[test]
    fn the_working_directory_is_read_if_it_is_a_path() {
        for (setting, want) in [("/srv", Some("/srv")), ("-/srv", Some("/srv")), ("~", None), ("", None)] {
            let text = format!("[Service]\nWorkingDirectory={setting}\nExecStart=/k3s server\n");
            let unit = found(&[(ETC, "k3s.service", &text)], None).unwrap();
            assert_eq!(unit.working_directory, want.map(PathBuf::from), "{setting}");
        }
    }
}

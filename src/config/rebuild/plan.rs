// SPDX-License-Identifier: Apache-2.0
//! Which files a rebuild writes, and what is at their paths now.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::last_drop_in::{LastDropIn, NewService, decide};
use super::merged::{Source, merge};
use crate::config::files::{is_drop_in, read_yaml, with_drop_ins};
use crate::config::paths::read_error;
use crate::config::settings::Settings;
use crate::config::yaml::{self, YamlEntry};
use crate::distribution;
use crate::error::{Code, Fault};
use crate::model::kit::{Kit, KitFile};
use crate::model::rebuild::{FileFound, NewMachine, PlannedFile, RebuildPlan};
use crate::model::secret::Secret;

/// What the name of the last drop-in ends in.
const LAST_DROP_IN: &str = "zz-k3s-snapshot-rebuild.yaml";
/// Bytes of a file that is compared.
const MAX_FILE: u64 = 16 << 20;

impl Settings {
    /// What a rebuild writes on this machine. `is_ours` tells whether an interrupted rebuild has written a text to a path.
    ///
    /// # Errors
    /// If a file cannot be read, or the new machine sets what contradicts the kit.
    pub(crate) fn rebuild_plan(
        &self,
        kit: &Kit,
        machine: &NewMachine,
        is_ours: &dyn Fn(&Path, &str) -> bool,
    ) -> Result<RebuildPlan> {
        let main = self.k3s.config.clone();
        let dir = PathBuf::from(format!("{}.d", main.display()));
        let registries = Path::new(self.distribution.config).with_file_name(distribution::REGISTRIES);
        let mut written: Vec<(PathBuf, &KitFile)> = Vec::new();
        let mut plan = RebuildPlan::default();
        for file in &kit.files {
            match destination(kit, &file.path, (&main, &dir, &registries)) {
                // The one of an earlier rebuild is a part of the new one.
                Some(path) if is_last(&path) => {}
                Some(path) => written.push((path, file)),
                None => plan.not_written.push(file.path.clone()),
            }
        }
        let last = self.last_drop_in(kit, machine, (&main, &dir), &written)?;
        let look = |path: PathBuf, text: Secret| -> Result<PlannedFile> {
            Ok(PlannedFile { found: look(&path, text.expose(), is_ours)?, path, text })
        };
        // K3s must never see the addresses of the old machine without the drop-in that unsets them.
        if let (path, Some(text)) = (dir.join(last_name(&main, &dir, &written)?), last.text()) {
            plan.files.push(look(path, Secret::new(text))?);
        }
        for (path, file) in written {
            plan.files.push(look(path, file.text.clone())?);
        }
        if last.needs_token_file {
            let path = Path::new(&kit.data_dir).join(distribution::TOKEN);
            let text = format!("{}\n", kit.tokens.server.expose().trim());
            plan.token_file = Some(path.clone());
            plan.files.push(look(path, Secret::new(text))?);
        }
        plan.dropped = last.dropped.into_iter().collect();
        plan.old_addresses = last.old_addresses.into_iter().collect();
        plan.variables = self.missing_variables(kit);
        plan.not_written.sort();
        Ok(plan)
    }

    /// The last drop-in, by what all other files will have.
    fn last_drop_in(
        &self,
        kit: &Kit,
        machine: &NewMachine,
        (main, dir): (&Path, &Path),
        written: &[(PathBuf, &KitFile)],
    ) -> Result<LastDropIn> {
        let mut sources: Vec<(PathBuf, Source)> = Vec::new();
        let is_of_k3s = |path: &Path| path == main || path.starts_with(dir);
        for (path, file) in written.iter().filter(|(path, _)| is_of_k3s(path)) {
            sources.push((path.clone(), Source { from_kit: true, entries: entries_of(file)? }));
        }
        let earlier = kit.files.iter().find(|file| is_last(Path::new(&file.path)));
        let earlier = earlier.map(entries_of).transpose()?.unwrap_or_default();
        for path in with_drop_ins(main, false)? {
            let is_other = !is_last(&path) && !sources.iter().any(|(known, _)| *known == path);
            if is_other {
                let entries = read_yaml(&path)?;
                sources.push((path, Source { from_kit: false, entries }));
            }
        }
        // The main file first, then the drop-ins by their names.
        sources.sort_by(|(a, _), (b, _)| (a != main, a).cmp(&(b != main, b)));
        let keys = merge(sources.into_iter().map(|(_, source)| source).collect());
        let service = NewService {
            argument: &|flag| self.flags.argument(flag).map(str::to_owned),
            variable: &|flag| self.flags.flag_variable(flag).map(str::to_owned),
        };
        decide(kit, (&keys, &earlier), &service, machine)
    }

    /// The variables of the old service that set no flag of K3s, and that the new service does not have.
    fn missing_variables(&self, kit: &Kit) -> Vec<String> {
        let names = kit.unit.variables.iter().map(|variable| variable.name.as_str());
        let sets_no_flag = |name: &&str| !self.flags.is_flag_variable(name, self.distribution);
        let mut all: Vec<String> = names
            .filter(sets_no_flag)
            .filter(|name| *name != "PATH" && self.flags.variable(name).is_none())
            .map(str::to_owned)
            .collect();
        all.sort();
        all
    }
}

/// Where a file of the kit is written; `None` if it is not. Everyone with the public key can make a kit, so nothing else than the
/// configuration of K3s is written.
fn destination(kit: &Kit, path: &str, (main, dir, registries): (&Path, &Path, &Path)) -> Option<PathBuf> {
    if path == kit.config {
        return Some(main.to_owned());
    }
    let path = Path::new(path);
    let kit_dir = PathBuf::from(format!("{}.d", kit.config));
    if path.parent() == Some(&kit_dir) && is_drop_in(path) {
        return path.file_name().map(|name| dir.join(name));
    }
    (path == registries).then(|| path.to_owned())
}

/// The keys of a configuration file in the kit.
fn entries_of(file: &KitFile) -> Result<Vec<YamlEntry>> {
    yaml::parse(file.text.expose()).map_err(|why| {
        let what =
            format!("the file '{}' in the recovery kit cannot be read: {why}", file.path.escape_debug());
        Fault::new(Code::KitInvalid, what)
            .hint("Write the configuration of K3s by hand, and give the server token with --token-file FILE.")
            .into()
    })
}

/// Whether it is the last drop-in of a rebuild: of the new machine, or of the old one.
fn is_last(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(LAST_DROP_IN))
}

/// A name that comes after every other drop-in.
fn last_name(main: &Path, dir: &Path, written: &[(PathBuf, &KitFile)]) -> Result<String> {
    let existing = with_drop_ins(main, false)?.into_iter();
    let all = existing.chain(written.iter().map(|(path, _)| path.clone()));
    let last = all.filter(|path| path.parent() == Some(dir) && !is_last(path)).max();
    let last = last.and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    Ok(match last {
        Some(last) if last.as_str() >= LAST_DROP_IN => format!("{last}-{LAST_DROP_IN}"),
        _ => LAST_DROP_IN.to_owned(),
    })
}

/// What is at this path now.
fn look(path: &Path, text: &str, is_ours: &dyn Fn(&Path, &str) -> bool) -> Result<FileFound> {
    let meta = match path.symlink_metadata() {
        Ok(meta) => meta,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound) => return Ok(FileFound::Absent),
        Err(e) => return Err(read_error(path, e)),
    };
    if !meta.is_file() {
        return Ok(FileFound::Differs);
    }
    let mut now = Vec::new();
    let file = std::fs::File::open(path).map_err(|e| read_error(path, e))?;
    file.take(MAX_FILE).read_to_end(&mut now).map_err(|e| read_error(path, e))?;
    Ok(match String::from_utf8(now) {
        Ok(now) if now == text => FileFound::Same,
        Ok(now) if is_ours(path, &now) => FileFound::Ours,
        _ => FileFound::Differs,
    })
}

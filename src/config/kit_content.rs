// SPDX-License-Identifier: Apache-2.0
//! The content of a recovery kit: what this machine has of K3s and of this program. Reads files and changes nothing.

use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};

use super::files::with_drop_ins;
use super::options;
use super::paths::{OUR_CONFIG, in_root, openable, read_error};
use super::settings::Settings;
use super::yaml;
use crate::distribution;
use crate::error::{Code, Fault};
use crate::model::kit::{KIT_VERSION, Kit, KitFacts, KitFile, KitNode, KitTokens, KitUnit};
use crate::model::secret::Secret;
use crate::model::token;

/// Bytes of a file in a kit.
const MAX_FILE: u64 = 1 << 20;
/// Names of manifests in a kit.
const MAX_NAMES: usize = 1000;

impl Settings {
    /// The content of a kit of this server, as it is now.
    ///
    /// # Errors
    /// If a file cannot be read, or no server token is known.
    pub(crate) fn kit(&self, facts: KitFacts) -> Result<Kit> {
        let KitFacts { cluster_id, token_hashes, versions, mut addresses } = facts;
        addresses.sort();
        addresses.dedup();
        let tokens = self.kit_tokens(&token_hashes)?;
        let files = self.kit_files()?;
        let not_included = self.not_included(&files);
        Ok(Kit {
            version: KIT_VERSION,
            distribution: self.distribution.word.to_owned(),
            cluster_id,
            versions,
            node: KitNode { name: self.k3s.node_name.clone(), addresses },
            tokens,
            data_dir: self.on_machine(&self.data_dir),
            unit: KitUnit {
                name: self.unit.clone(),
                flags: self.flags.kit_flags(),
                variables: self.flags.kit_variables(),
            },
            config: self.k3s_config.display().to_string(),
            files,
            manifests: self.manifest_names()?,
            not_included,
        })
    }

    /// The token that opens the snapshot, else the one in force: of the configuration and of the file of K3s.
    fn kit_tokens(&self, hashes: &[String]) -> Result<KitTokens> {
        let kept = self.read_token(&self.data_dir.join(distribution::TOKEN))?;
        let named = if self.token_file_is_named { self.read_token(&self.token_file)? } else { None };
        // The token that K3s keeps has the full form, with the hash of the certificate authority.
        let known: Vec<Secret> = [kept, self.token.clone(), named].into_iter().flatten().collect();
        let opens = |t: &&Secret| hashes.contains(&token::hash(t.expose()));
        let server = known.iter().find(opens).or(self.token.as_ref()).or(known.first()).cloned();
        let server = server.ok_or_else(|| {
            Fault::new(Code::TokenMissing, "no server token is known, and a kit without it is of no use")
                .hint("Name the file with the server token with --token-file FILE.")
        })?;
        let given = self.flags.last("agent-token").map(|(text, _)| Secret::new(text));
        let file = self.flags.last("agent-token-file").map(|(path, _)| self.flags.start_dir().join(path));
        let file = match file {
            Some(path) => openable(&self.root, &path)?,
            None => self.data_dir.join(distribution::AGENT_TOKEN),
        };
        let agent = match given {
            Some(token) => Some(token),
            None => self.read_token(&file)?,
        };
        let agent = agent.filter(|agent| token::hash(agent.expose()) != token::hash(server.expose()));
        Ok(KitTokens { server, agent })
    }

    fn read_token(&self, path: &Path) -> Result<Option<Secret>> {
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Some(text.trim()).filter(|text| !text.is_empty()).map(Secret::new)),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(e) => Err(read_error(path, e)),
        }
    }

    /// The configuration of K3s with its drop-ins, the environment files of its service, its registries, and our configuration.
    fn kit_files(&self) -> Result<Vec<KitFile>> {
        let mut all = Vec::new();
        let k3s = self.with_drop_ins(&self.k3s_config)?;
        let environment = self.flags.environment_files().iter().cloned();
        let registries = match self.flags.last("private-registry") {
            Some((path, _)) => self.flags.start_dir().join(path),
            None => Path::new(self.distribution.config).with_file_name(distribution::REGISTRIES),
        };
        for path in k3s.into_iter().chain(environment).chain([registries]) {
            all.extend(self.read_file(&path, &|text| Ok(text))?);
        }
        for path in self.with_drop_ins(Path::new(OUR_CONFIG))? {
            all.extend(self.read_file(&path, &without_secrets)?);
        }
        all.sort_by(|a, b| a.path.cmp(&b.path));
        all.dedup_by(|a, b| a.path == b.path);
        Ok(all)
    }

    /// A file of the machine and its drop-ins, as the machine has them.
    fn with_drop_ins(&self, main: &Path) -> Result<Vec<PathBuf>> {
        let mut dir = main.as_os_str().to_owned();
        dir.push(".d");
        let openable = openable(&self.root, main)?;
        let all = with_drop_ins(&openable, false)?.into_iter();
        Ok(all
            .map(|path| match path.file_name() {
                Some(name) if path != openable => Path::new(&dir).join(name),
                _ => main.to_owned(),
            })
            .collect())
    }

    fn read_file(&self, path: &Path, change: &dyn Fn(String) -> Result<String>) -> Result<Option<KitFile>> {
        let file = openable(&self.root, path)?;
        let opened = match std::fs::File::open(&file) {
            Ok(opened) => opened,
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(e) => return Err(read_error(&file, e)),
        };
        let mode = opened.metadata().map_err(|e| read_error(&file, e))?.permissions().mode() & 0o7777;
        let mut text = String::new();
        opened.take(MAX_FILE + 1).read_to_string(&mut text).map_err(|e| read_error(&file, e))?;
        if text.len() as u64 > MAX_FILE {
            let what = format!("'{}' has more than {MAX_FILE} bytes", file.display());
            return Err(Fault::new(Code::KitNotSealed, what).into());
        }
        let text = change(text).map_err(|e| e.context(format!("reading '{}'", file.display())))?;
        Ok(Some(KitFile { path: path.display().to_string(), mode, text: Secret::new(text) }))
    }

    fn manifest_names(&self) -> Result<Vec<String>> {
        let dir = self.data_dir.join(distribution::MANIFESTS);
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(vec![]);
            }
            Err(e) => return Err(read_error(&dir, e)),
        };
        let mut names = Vec::new();
        for entry in entries.take(MAX_NAMES) {
            let entry = entry.map_err(|e| read_error(&dir, e))?;
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    /// The files that the flags of K3s name and that are not in the kit.
    fn not_included(&self, files: &[KitFile]) -> Vec<String> {
        let paths = self.flags.all_values().filter_map(|value| value.get(value.find('/')?..));
        let mut all: Vec<String> = paths
            .filter(|path| !files.iter().any(|file| file.path == *path))
            .filter(|path| in_root(&self.root, Path::new(path)).is_file())
            .map(str::to_owned)
            .collect();
        all.sort();
        all.dedup();
        all
    }

    /// A path below the root as the machine has it.
    fn on_machine(&self, path: &Path) -> String {
        Path::new("/").join(path.strip_prefix(&self.root).unwrap_or(path)).display().to_string()
    }
}

/// Our configuration without the keys of the bucket: they are given at a rebuild.
fn without_secrets(text: String) -> Result<String> {
    let secret = |key: &str| options::find(key.trim_end_matches('+')).is_some_and(|option| option.is_secret);
    let mut kept = String::with_capacity(text.len());
    let mut left_out = false;
    for line in text.split_inclusive('\n') {
        let is_key = line.starts_with(|c: char| !c.is_whitespace() && c != '#' && c != '-');
        if is_key {
            let key = line.split(':').next().unwrap_or_default().trim().trim_matches(['"', '\'']);
            left_out = secret(key);
        }
        if !left_out {
            kept.push_str(line);
        }
    }
    let entries = yaml::parse(&kept).map_err(|_| anyhow!("the keys of the bucket cannot be left out"))?;
    match entries.iter().any(|entry| secret(&entry.key)) {
        true => Err(anyhow!("the keys of the bucket cannot be left out: write each on a line of its own")),
        false => Ok(kept),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_the_bucket_are_left_out_and_nothing_else() {
        for (text, want) in [
            ("", ""),
            ("s3: true\ns3-secret-key: geheim\nname: x\n", "s3: true\nname: x\n"),
            ("s3-secret-key: |\n  geheim\n  more\n# c\nname: x\n", "name: x\n"),
            ("'s3-access-key': geheim\n", ""),
            ("retention:\n  a:\n    keep-daily: 1\n", "retention:\n  a:\n    keep-daily: 1\n"),
        ] {
            assert_eq!(without_secrets(text.to_owned()).unwrap(), want, "{text}");
        }
        let flow = without_secrets("{s3-secret-key: geheim, name: x}\n".to_owned());
        assert!(!format!("{:#}", flow.unwrap_err()).contains("geheim"));
    }
}

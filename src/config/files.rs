// SPDX-License-Identifier: Apache-2.0
//! A configuration file and its drop-ins, as K3s finds and reads them.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::paths::read_error;
use super::yaml::{self, YamlEntry};
use crate::error::{Code, Fault};

/// The file and its drop-ins (`<file>.d/*.yaml`, `*.yml`), in the order in which they are read. Drop-ins count even if the
/// file does not exist.
///
/// # Errors
/// If the directory of drop-ins cannot be read, or the file `must_exist` and does not.
pub(super) fn with_drop_ins(main: &Path, must_exist: bool) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    match std::fs::metadata(main) {
        Ok(_) => all.push(main.to_owned()),
        Err(e) if e.kind() == io::ErrorKind::NotFound && !must_exist => {}
        Err(e) => return Err(read_error(main, e)),
    }
    let mut dir = main.as_os_str().to_owned();
    dir.push(".d");
    let dir = PathBuf::from(dir);
    let mut drop_ins = Vec::new();
    match std::fs::read_dir(&dir) {
        Ok(entries) => {
            for entry in entries {
                let path = entry.map_err(|e| read_error(&dir, e))?.path();
                if is_drop_in(&path) && !path.is_dir() {
                    drop_ins.push(path);
                }
            }
        }
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
        Err(e) => return Err(read_error(&dir, e)),
    }
    drop_ins.sort();
    all.extend(drop_ins);
    Ok(all)
}

/// Whether K3s reads a file of this name in the directory of drop-ins.
pub(super) fn is_drop_in(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    name.ends_with(".yaml") || name.ends_with(".yml")
}

/// The entries of a file.
///
/// # Errors
/// If the file cannot be read or is not a mapping in YAML. The error has no part of the text, which may be secret.
pub(super) fn read_yaml(path: &Path) -> Result<Vec<YamlEntry>> {
    let bytes = std::fs::read(path).map_err(|e| read_error(path, e))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| anyhow::anyhow!("the text is not UTF-8"))
        .with_context(|| parse_error(path))?;
    yaml::parse(&text).map_err(anyhow::Error::msg).with_context(|| parse_error(path))
}

fn parse_error(path: &Path) -> Fault {
    Fault::new(Code::ConfigInvalid, format!("reading configuration '{}'", path.display()))
        .hint("Write the file as a mapping like 'data-dir: /path'.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drop_ins_are_those_of_k3s_in_its_order() {
        let dir = tempfile::tempdir().unwrap();
        let main = dir.path().join("config.yaml");
        let drop_ins = dir.path().join("config.yaml.d");
        std::fs::create_dir(&drop_ins).unwrap();
        std::fs::create_dir(drop_ins.join("sub.yaml")).unwrap();
        for name in ["b.yml", "a.YAML", ".yaml", "x.yaml~", "c.txt", "10-z.Yml"] {
            std::fs::write(drop_ins.join(name), "").unwrap();
        }
        let names = |files: Vec<PathBuf>| -> Vec<String> {
            files.iter().map(|f| f.file_name().unwrap().to_string_lossy().into_owned()).collect()
        };
        let of_dir = [".yaml", "10-z.Yml", "a.YAML", "b.yml"];
        assert_eq!(names(with_drop_ins(&main, false).unwrap()), of_dir);
        assert!(with_drop_ins(&main, true).is_err());
        std::fs::write(&main, "").unwrap();
        assert_eq!(names(with_drop_ins(&main, true).unwrap()), [&["config.yaml"], &of_dir[..]].concat());
    }
}

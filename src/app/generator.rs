// SPDX-License-Identifier: Apache-2.0
//! k3s-snapshot-generator(8): adapts the units of this project to the machine. systemd runs generators before any unit, at
//! boot and at each reload: this one only reads files, calls no service, and never stops the boot.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::config::load::{self, Environment, Loaded, Selectors};
use crate::config::options;
use crate::config::settings::Settings;
use crate::config::unit;
use crate::distribution;
use crate::model::drop_in::{self, HostPaths};
use crate::output::{kmsg, log as stderr};

/// The name of the program.
const PROGRAM: &str = "k3s-snapshot-generator";

/// Writes the drop-ins. The arguments are the three output directories of systemd; only the first one is used. `--root DIR`
/// before them reads the files of another machine below DIR.
pub fn main() -> ExitCode {
    let mut args: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let mut root = PathBuf::from("/");
    if args.first().is_some_and(|a| a == Path::new("--root")) && args.len() > 1 {
        root = args.remove(1);
        args.remove(0);
        stderr::start(PROGRAM, true, false);
    } else {
        kmsg::start(PROGRAM);
    }
    match args.first() {
        Some(folder) if folder.is_absolute() => {
            if let Err(e) = generate(&root, folder) {
                log::warn!("no drop-in is written, the units keep the shipped paths and times: {e:#}");
            }
        }
        _ => log::error!("usage: {PROGRAM} [--root DIR] DIR [DIR DIR], by systemd; see {PROGRAM}(8)"),
    }
    ExitCode::SUCCESS
}

fn generate(root: &Path, folder: &Path) -> Result<()> {
    let root = root.canonicalize().with_context(|| format!("opening '{}'", root.display()))?;
    let ask = |distribution, wanted: Option<&str>| unit::from_files(&root, distribution, wanted);
    let Loaded { options, flags, distribution } =
        load::gather(&root, &Selectors::default(), &Environment::new(), &ask)?;
    let s = Settings::new(options, flags, distribution, &root, "localhost")?;
    // As seen from the root. Links are followed if their targets exist.
    let seen = |path: &Path| {
        let there =
            path.ancestors().find_map(|a| Some(a.canonicalize().ok()?.join(path.strip_prefix(a).ok()?)));
        let real = there.unwrap_or_else(|| path.to_owned());
        Path::new("/").join(real.strip_prefix(&root).unwrap_or(&real))
    };
    let usual = |path: &Path, default: &str| seen(path) == Path::new(default);
    let own = [(&s.state_dir, options::STATE_DIR), (&s.run_dir, options::RUN_DIR)];
    let schedule = s.schedule.clone().map(|cron| {
        let rows = s.explain();
        let said = rows.into_iter().find(|r| r.option == options::SCHEDULE).map(|r| r.origin);
        (cron, said.unwrap_or_default())
    });
    let machine = HostPaths {
        db: seen(&s.data_dir.join(distribution::DB)),
        dir: seen(&s.dir),
        written: own
            .iter()
            .filter(|(path, default)| !usual(path, default))
            .map(|(path, _)| seen(path))
            .collect(),
        read: [&s.etcd_cacert, &s.etcd_cert, &s.etcd_key, &s.token_file].map(|p| seen(p)).to_vec(),
        schedule,
    };
    // The shipped units have the paths of K3s. Another distribution is handled like another directory.
    let shipped = Path::new(distribution::K3S.data_dir).join(distribution::DB);
    let drop_ins = drop_in::of(&machine, &shipped);
    drop_ins.warnings.iter().for_each(|text| log::warn!("{text}"));
    for (path, text) in &drop_ins.files {
        let path = folder.join(path);
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).with_context(|| format!("creating '{}'", parent.display()))?;
        std::fs::write(&path, text).with_context(|| format!("writing '{}'", path.display()))?;
    }
    Ok(())
}

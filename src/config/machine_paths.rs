// SPDX-License-Identifier: Apache-2.0
//! The paths that a run uses, as the machine has them: absolute, links not followed. For the sandbox of our services.

use std::path::PathBuf;

use anyhow::Result;

use super::options::OptionId;
use super::s3_files;
use super::settings::Settings;

/// The paths of the settings. They need not exist.
#[derive(Debug)]
pub(crate) struct MachinePaths {
    /// The data-dir of K3s.
    pub(crate) data_dir: PathBuf,
    /// The snapshot directory.
    pub(crate) dir: PathBuf,
    /// Where manifests are stored.
    pub(crate) state_dir: PathBuf,
    /// Where locks are stored.
    pub(crate) run_dir: PathBuf,
    /// Where the metrics of jobs are written.
    pub(crate) metrics_dir: Option<PathBuf>,
    /// What any run may read: the configuration of K3s with its drop-ins, its environment files, the token, the
    /// certificates for etcd, and the files with URLs of pings and reports.
    pub(crate) read: Vec<PathBuf>,
    /// What a run with the bucket may read, too.
    pub(crate) bucket: Vec<PathBuf>,
}

impl Settings {
    /// The paths as the machine has them.
    ///
    /// # Errors
    /// If the working directory does not exist.
    pub(crate) fn machine_paths(&self) -> Result<MachinePaths> {
        let path = |id: OptionId| {
            let text = self.merged.get_str(id).unwrap_or_default();
            self.merged.machine_path(&self.paths, id, text)
        };
        let mut drop_ins = self.k3s_config.clone().into_os_string();
        drop_ins.push(".d");
        let mut read = vec![self.k3s_config.clone(), PathBuf::from(drop_ins)];
        read.extend(self.flags.environment_files().iter().cloned());
        for id in [OptionId::TokenFile, OptionId::EtcdCacert, OptionId::EtcdCert, OptionId::EtcdKey] {
            read.push(path(id)?);
        }
        let urls = [
            OptionId::PingUrlSaveFile,
            OptionId::PingUrlPruneFile,
            OptionId::PingUrlVerifyFile,
            OptionId::NotifyUrlFile,
        ];
        for id in urls.into_iter().filter(|id| self.merged.effective(*id).is_some()) {
            read.push(path(id)?);
        }
        Ok(MachinePaths {
            data_dir: path(OptionId::DataDir)?,
            dir: path(OptionId::Dir)?,
            state_dir: path(OptionId::StateDir)?,
            run_dir: path(OptionId::RunDir)?,
            metrics_dir: self.metrics_dir.as_ref().map(|_| path(OptionId::MetricsDir)).transpose()?,
            read,
            bucket: s3_files::files(&self.merged, &self.paths)?,
        })
    }
}

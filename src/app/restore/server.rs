// SPDX-License-Identifier: Apache-2.0
//! K3s on this server, as its settings describe it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::app::context::Context;
use crate::config::settings::Settings;
use crate::datastore::Datastore;
use crate::distribution;
use crate::error::{Code, Fault};
use crate::host::K3s as _;
use crate::host::datastore;
use crate::host::k3s::{Invocation, PRIVATE, Program, program_version};
use crate::host::systemd::{self, Systemd};
use crate::model::secret::Secret;
use crate::model::version::Version;

/// Add-ons of K3s, which a rehearsal does without.
const ADD_ONS: &str = "coredns,servicelb,traefik,local-storage,metrics-server";

/// The K3s service: the one in the settings, else the one that runs K3s.
///
/// # Errors
/// If it cannot be found.
pub(in crate::app) fn service(cx: &Context) -> Result<Systemd> {
    match &cx.settings.unit {
        Some(unit) => Ok(Systemd::new(unit)),
        None => systemd::find(cx.distribution, None),
    }
}

/// Fails if a restore is not possible on this machine. Returns its datastore; `None` if it has none yet. `changes_members`: the
/// operation is one on the members of etcd.
///
/// # Errors
/// With the reason.
pub(in crate::app) fn require_restorable(cx: &Context, changes_members: bool) -> Result<Option<Datastore>> {
    let s = cx.settings;
    if s.flags.command() == Some("agent") {
        return Err(Fault::new(Code::IsAgent, "this machine runs a K3s agent, which has no datastore")
            .hint("Run this command on a server.")
            .into());
    }
    let datastore = datastore::to_restore(&s.data_dir, cx.datastore_config());
    let is_sqlite = matches!(datastore, Ok(Some(Datastore::Sqlite)));
    if s.disable_etcd && !is_sqlite {
        return Err(Fault::new(Code::EtcdDisabled, "K3s runs no etcd on this server (disable-etcd)")
            .hint("Run this command on a server with etcd.")
            .into());
    }
    s.require_agreement_for_restore()?;
    let datastore = datastore?;
    if is_sqlite && changes_members {
        let what = "K3s uses SQLite on this server: there are no other members of its datastore";
        return Err(Fault::new(Code::OtherDatastore, what)
            .hint("Run 'k3s-snapshot restore latest' to restore a snapshot.")
            .into());
    }
    let resets = s.flags.persistent_reset_flags();
    if !resets.is_empty() {
        return Err(Fault::new(
            Code::ClusterResetConfigured,
            format!("K3s is set to reset its cluster at every start: {}", resets.join(", ")),
        )
        .hint("Remove the setting from the configuration of K3s first: with it, K3s resets the cluster or does not start.")
        .into());
    }
    Ok(datastore)
}

/// Addresses of the API server; empty on a server that runs none.
pub(in crate::app) fn api_addresses(s: &Settings) -> Vec<SocketAddr> {
    let value = |flag: &str| s.flags.last(flag).map(|(value, _)| value);
    if value("disable-apiserver").is_some_and(|v| !matches!(v, "false" | "0" | "f" | "F")) {
        return vec![];
    }
    let loopback = || vec![IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
    let hosts = match value("bind-address").map(str::parse::<IpAddr>) {
        Some(Ok(address)) if !address.is_unspecified() => vec![address],
        _ => loopback(),
    };
    hosts.into_iter().map(|host| (host, s.https_port).into()).collect()
}

/// The program of K3s, with what it needs to run aside: the one that is given, else the one of the unit.
///
/// # Errors
/// [`Code::K3sNotFound`], [`Code::InvalidArgument`] if the two are of different minor versions.
pub(in crate::app) fn program(
    cx: &Context,
    given: Option<&Path>,
    token: Option<&Secret>,
    stall: Duration,
    logs: &Path,
) -> Result<Program> {
    let s = cx.settings;
    let given = given.map(visible_aside).transpose()?;
    let path = given.clone().or_else(|| s.flags.executable().map(Path::to_owned)).ok_or_else(|| {
        Fault::new(
            Code::K3sNotFound,
            format!("finding the program of {}: no unit runs it", cx.distribution.name),
        )
        .hint("Set the unit that runs the program with --unit NAME.service, or the program with --k3s-binary PATH.")
    })?;
    let own = |name: &'static str, value: &str| (name, Secret::new(value));
    let data_dir = s.data_dir.display().to_string();
    let mut common = vec![
        own("data-dir", &data_dir),
        own("write-kubeconfig", &format!("{}/aside.yaml", distribution::CONFIG_DIR)),
        own("etcd-disable-snapshots", "true"),
    ];
    if let Some(token) = token.filter(|_| s.token_file_is_ours) {
        common.push(("token", token.clone()));
    }
    // K3s without an agent and with nothing that would act on the data: see docs/design/restore.md.
    let mut rehearsal = common.clone();
    rehearsal.extend([
        own("disable-agent", "true"),
        own("disable-scheduler", "true"),
        own("disable-cloud-controller", "true"),
        own("disable-helm-controller", "true"),
        own("disable-network-policy", "true"),
        own("flannel-backend", "none"),
        own("disable", ADD_ONS),
        own("kube-controller-manager-arg", "controllers=ttl-controller"),
    ]);
    let invocation = |overrides: &[(&str, Secret)]| {
        let run = s.flags.reset_invocation(overrides);
        Invocation { config: Some(run.config), environment: run.environment }
    };
    let program = Program {
        path,
        helper: helper()?,
        reset: invocation(&common),
        rehearsal: invocation(&rehearsal),
        stall,
        api: api_addresses(s),
        tls: s.data_dir.join(distribution::TLS),
        logs: logs.to_owned(),
    };
    if let (Some(given), Some(installed)) = (&given, s.flags.executable()) {
        ensure_same_minor(&program, given, installed)?;
    }
    Ok(program)
}

/// The path of a program that also a run aside finds.
fn visible_aside(given: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(given).with_context(|| format!("reading '{}'", given.display()))?;
    match PRIVATE.iter().find(|dir| path.starts_with(dir)) {
        None => Ok(path),
        Some(dir) => Err(Fault::new(
            Code::InvalidArgument,
            format!(
                "--k3s-binary '{}' is in {dir}, which K3s has for itself while it runs aside",
                path.display()
            ),
        )
        .hint("Move the program to /usr/local/bin first.")
        .into()),
    }
}

/// The unit starts its own program on the database that the given one has made.
fn ensure_same_minor(program: &Program, given: &Path, installed: &Path) -> Result<()> {
    let of_given = program.version()?;
    let of_installed = program_version(installed)?;
    let (Some(new), Some(old)) = (Version::parse(&of_given), Version::parse(&of_installed)) else {
        return Ok(());
    };
    if new.minor_version() == old.minor_version() {
        return Ok(());
    }
    let what = format!(
        "--k3s-binary '{}' is {new}, but the K3s service runs '{}', which is {old}",
        given.display(),
        installed.display()
    );
    let hint = format!("Install K3s {new} as '{}' first, without starting it.", installed.display());
    Err(Fault::new(Code::InvalidArgument, what).hint(hint).into())
}

/// The file of this program, which also is the helper process of a run aside.
fn helper() -> Result<PathBuf> {
    std::env::current_exe().context("finding the file of this program")
}

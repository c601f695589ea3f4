// SPDX-License-Identifier: Apache-2.0
//! Joins another server with an empty database: what every other server of a cluster does after one was restored.
//!
//! Everything that would make K3s fail there, or start a cluster of its own, is checked before anything is touched.

use anyhow::Result;

use super::context::Context;
use super::preflight::{self, Facts, Refusals, WAL_RESERVE};
use super::recover::clear_left_over;
use super::transaction::Transaction;
use super::verify::Goal;
use crate::error::{Code, Fault};
use crate::host::JoinServer;
use crate::io::ReadAt;
use crate::model::report::Report;
use crate::model::restore::Operation;
use crate::model::restore_report::TokenCheck;
use crate::model::runbook::{host_of, node_of};
use crate::model::secret::Secret;
use crate::model::warning::WarningCode;

/// Rejoins; a dry run ends with the plan.
///
/// # Errors
/// If it did not join: before K3s was stopped, nothing was changed; after that, everything was rolled back.
pub fn rejoin(cx: Context, report: &mut Report) -> Result<()> {
    clear_left_over(cx.machine, report)?;
    let facts = preflight::gather(&cx, Operation::Rejoin, report)?;
    let mut tx = Transaction::begin(cx, Operation::Rejoin, &facts, report)?;
    match tx.plan_rejoin(&facts) {
        Err(e) => Err(tx.give_up(e)),
        Ok(None) => {
            tx.abandon();
            Ok(())
        }
        Ok(Some(join_once)) => match tx.prepare_rejoin(join_once.as_deref()) {
            Err(e) => Err(tx.give_up(e)),
            Ok(()) => tx.exchange(None, &Goal::Joined),
        },
    }
}

/// The URL for the first start, if the configuration of K3s has none.
type JoinOnce = Option<String>;

impl Transaction<'_> {
    /// `None` ends a dry run.
    fn plan_rejoin(&mut self, facts: &Facts) -> Result<Option<JoinOnce>> {
        let cx = self.cx;
        let files = cx.machine.files;
        let mut refusals = Refusals::default();
        let mut join_once = None;
        match find_server(&cx, self.report) {
            Err(e) => refusals.add(Err(e)),
            Ok(found) => {
                refusals.add(check_server(&cx, &*found.server, self.report));
                join_once = found.join_once;
            }
        }
        refusals.add(preflight::check_exclusive(&cx, &facts.unit));
        refusals.add(files.ensure_renamable());
        let live = files.database_file()?.map_or(0, |d| d.size());
        refusals.add(preflight::check_space(&cx, live.saturating_add(WAL_RESERVE)));
        refusals.check(&cx, self.report)?;
        Ok(preflight::confirm(&cx, Operation::Rejoin, self.report)?.then_some(join_once))
    }

    fn prepare_rejoin(&mut self, join_once: Option<&str>) -> Result<()> {
        // A database that is thrown away is not saved: the cluster has its own data.
        self.block_start()?;
        self.stop_k3s()?;
        if let Some(url) = join_once {
            self.cx.machine.files.join_at_next_start(url)?;
            self.cx.machine.unit.reload()?;
        }
        self.state.live_database = self.cx.machine.files.live_database()?;
        Ok(())
    }
}

/// The server that K3s will join.
struct Found {
    server: Box<dyn JoinServer>,
    join_once: JoinOnce,
}

/// The server of the K3s configuration, which takes precedence in K3s; else the one of `--server`.
fn find_server(cx: &Context, report: &mut Report) -> Result<Found> {
    let (given, configured) = (cx.options.server, cx.cluster.configured_server);
    let Some(url) = configured.or(given) else {
        return Err(Fault::new(
            Code::JoinServerNotConfigured,
            "the configuration of K3s names no server to join: K3s would start an empty cluster of its own",
        )
        .hint("Set the restored server with --server https://ADDRESS:6443. On that server there is nothing to rejoin.")
        .into());
    };
    report.restore_mut().server = Some(url.to_owned());
    for url in [given, configured].into_iter().flatten() {
        ensure_other_machine(cx, url)?;
    }
    let server = (cx.cluster.open_server)(url);
    if let (Some(given), Some(configured)) = (given, configured)
        && !is_same_url(given, configured)
    {
        ensure_same_server(cx, given, &*server)?;
    }
    let join_once = configured.is_none().then(|| url.to_owned());
    Ok(Found { server, join_once })
}

/// A server that joined itself would start an empty cluster.
fn ensure_other_machine(cx: &Context, url: &str) -> Result<()> {
    let own = cx.machine.host.addresses();
    if host_of(url).is_some_and(|host| !own.iter().any(|a| a == host)) {
        return Ok(());
    }
    Err(Fault::new(Code::JoinServerIsSelf, format!("'{}' is this server itself", url.escape_debug()))
        .hint("Run 'k3s-snapshot restore --rejoin' on the other servers: the restored server has nothing to rejoin.")
        .into())
}

fn is_same_url(a: &str, b: &str) -> bool {
    let plain = |url: &str| url.trim_end_matches('/').to_ascii_lowercase();
    plain(a) == plain(b)
}

/// Two addresses, for instance one of a load balancer, must lead to the same cluster.
fn ensure_same_server(cx: &Context, given: &str, configured: &dyn JoinServer) -> Result<()> {
    let differs = |why: String| {
        Fault::new(
            Code::JoinServerMismatch,
            format!(
                "the configuration of K3s joins '{}', not '{}': {why}",
                configured.url(),
                given.escape_debug()
            ),
        )
        .hint(format!("Set 'server: {given}' in the configuration of K3s ('{}') first.", cx.cluster.config))
    };
    let other = (cx.cluster.open_server)(given);
    let authority = other.authority()?;
    match configured.authority() {
        Ok(own) if own == authority => {}
        Ok(_) => return Err(differs("they have different certificate authorities".to_owned()).into()),
        Err(e) => return Err(differs(format!("{e:#}")).into()),
    }
    let (Some(token), Some(own)) = (cx.cluster.token, cx.cluster.ca_hash) else { return Ok(()) };
    // A password is not sent to a server that cannot be verified; check_server refuses it.
    if !other.has_authority(own)? || !configured.has_authority(own)? {
        return Ok(());
    }
    let members = |server: &dyn JoinServer| {
        server.members(token).map(|mut names| {
            names.sort();
            names
        })
    };
    match (members(&*other), members(configured)) {
        (Ok(a), Ok(b)) if a != b => Err(differs("they have different etcd members".to_owned()).into()),
        _ => Ok(()),
    }
}

/// The server is alive, is of the cluster that this server's token names, accepts the token, and has no member of this node.
fn check_server(cx: &Context, server: &dyn JoinServer, report: &mut Report) -> Result<()> {
    match cx.cluster.ca_hash {
        Some(own) if !server.has_authority(own)? => Err(Fault::new(
            Code::JoinServerMismatch,
            format!(
                "the server at '{}' has another certificate authority than the one that the token of this server names",
                server.url()
            ),
        )
        .hint("Check the address. If the cluster was set up again, set its token in the configuration of K3s here.")
        .into()),
        Some(_) => {
            let token = check_accepted(cx, server)?;
            report.restore_mut().token = TokenCheck::Verified;
            ensure_no_member(cx, server, token, report)
        }
        None => {
            // Whether it answers; a password is not sent to a server that cannot be verified.
            server.authority()?;
            report.warn(
                WarningCode::JoinServerUnverified,
                "the certificate authority of the other server cannot be verified: no token or file on this server identifies it",
            );
            Ok(())
        }
    }
}

/// The token, which the other server must accept.
fn check_accepted<'a>(cx: &Context<'a>, server: &dyn JoinServer) -> Result<&'a Secret> {
    let hint = "Set 'token' in the configuration of K3s on this server to the token of the restored server, which is in \
                server/token of the data directory there.";
    let Some(token) = cx.cluster.token else {
        return Err(Fault::new(Code::TokenMissing, "no server token is known on this server")
            .hint(hint)
            .into());
    };
    if !server.lets_in(token)? {
        let what = format!("the server at '{}' does not accept the token of this server", server.url());
        return Err(Fault::new(Code::TokenRejected, what).hint(hint).into());
    }
    Ok(token)
}

/// A cluster takes no second member of a node: K3s ends with `duplicate node name found`.
fn ensure_no_member(
    cx: &Context,
    server: &dyn JoinServer,
    token: &Secret,
    report: &mut Report,
) -> Result<()> {
    let members = match server.members(token) {
        Ok(members) => members,
        Err(e) => {
            report.warn(
                WarningCode::MembersUnknown,
                format!("it is not known whether this server is a member of that cluster: {e:#}"),
            );
            return Ok(());
        }
    };
    let Some(member) = members.iter().find(|m| node_of(m).eq_ignore_ascii_case(cx.cluster.node)) else {
        return Ok(());
    };
    let what = format!(
        "the cluster of '{}' already has a member of this node: '{}'",
        server.url(),
        member.escape_debug()
    );
    let own = cx.machine.files.member_name();
    let joined =
        own.as_ref() == Some(member) && cx.machine.etcd.look().is_ok_and(|l| l.has_leader() && !l.learner);
    let hint = match joined {
        true => "This server has joined and its etcd answers: there is nothing to do.".to_owned(),
        false => format!(
            "Start K3s if this is its database. Otherwise remove the member first: run 'k3s kubectl delete node {}' on the \
             other server, and wait until the list of etcd members no longer has it.",
            cx.cluster.node
        ),
    };
    Err(Fault::new(Code::AlreadyAMember, what).hint(hint).into())
}

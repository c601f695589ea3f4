// SPDX-License-Identifier: Apache-2.0
//! The deeds of a restore, in their order. Each is written down before it begins, so the order of the lines here is what
//! `resume` relies on.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use super::begin::{record, save_live};
use super::check::{Plan, same_cluster};
use super::find::Proven;
use super::rejoin::joined;
use super::{Machine, Request, told, until};
use crate::error::{Fault, Kind};
use crate::host::{Active, FileAt};
use crate::inspect::{self, Comparison, Content};
use crate::io::ReadAt;
use crate::model::report::Report;
use crate::model::restore::{Operation, RestoreState, Stage};
use crate::model::warning::WarningCode;

/// So often systemd may start K3s anew before that is called a failure.
pub(super) const RESTARTS: u32 = 3;
/// How long the ports and the database may stay in use after K3s is down.
const QUIET: Duration = Duration::from_secs(30);

/// A restore at work.
pub(super) struct Walk<'a> {
    pub(super) req: &'a Request<'a>,
    pub(super) machine: &'a Machine<'a>,
    pub(super) record: RestoreState,
    pub(super) report: &'a mut Report,
    /// What of the downtime was K3s's.
    pub(super) k3s: Duration,
    down: Option<Instant>,
}

/// What the new etcd has to be.
pub(super) enum Aim {
    /// Alone, and hold this.
    Holds(Box<Content>),
    /// A voting member, not alone.
    Voter,
}

/// Restores. On any failure everything is put back.
pub(super) fn walk(
    req: &Request,
    machine: &Machine,
    proven: &Proven,
    plan: Plan,
    report: &mut Report,
) -> Result<()> {
    if req.safety && plan.answers {
        let saved = save_live(machine, report, |e| {
            let hint = "Nothing was touched. --no-safety-snapshot restores without it.";
            let fault = Fault::about(&e, "not restored").hint(hint);
            // What a save is refused for is no refusal of the restore.
            let fault =
                if crate::error::kind_of(&e) == Kind::Busy { fault } else { fault.of_kind(Kind::Failed) };
            e.context("saving what is live before the restore").context(fault)
        })?;
        same_cluster(req, proven, saved.cluster.as_deref())?;
    } else {
        same_cluster(req, proven, plan.cluster.as_deref())?;
    }
    anyhow::ensure!(!(machine.asked)(), "asked to stop; nothing was touched");
    let record = RestoreState {
        snapshot: proven.subject.clone(),
        pinned: proven.pinned.clone(),
        ..record(req, machine, Operation::Restore, plan.was, plan.before)?
    };
    carry_out(req, machine, record, report, |walk| {
        walk.halt()?;
        walk.keep()?;
        walk.theirs("reset", "K3s makes a new database of the snapshot", Walk::reset)?;
        walk.check(&proven.content)?;
        Ok(Aim::Holds(Box::new(proven.content.clone())))
    })
}

/// Bars K3s, lets the deeds make a new database that lies at rest, and starts K3s on it. On any failure everything is put back.
pub(super) fn carry_out(
    req: &Request,
    machine: &Machine,
    record: RestoreState,
    report: &mut Report,
    deeds: impl FnOnce(&mut Walk) -> Result<Aim>,
) -> Result<()> {
    let mut walk = Walk::new(req, machine, record, report);
    if let Err(e) = walk.bar() {
        // Nothing of K3s was touched, so there is nothing to roll back but the bar itself.
        let left = machine.site.unbar().and_then(|()| machine.service.reload());
        match left.and_then(|()| machine.site.forget()) {
            Ok(()) => {}
            Err(left) => log::error!("{left:#}"),
        }
        return Err(e.context("nothing was touched"));
    }
    walk.down = Some(Instant::now());
    match deeds(&mut walk).and_then(|aim| walk.up(&aim)) {
        Ok(()) => walk.ready(),
        Err(e) => Err(walk.roll_back(e)),
    }
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        req: &'a Request<'a>,
        machine: &'a Machine<'a>,
        record: RestoreState,
        report: &'a mut Report,
    ) -> Walk<'a> {
        Walk { req, machine, record, report, k3s: Duration::ZERO, down: None }
    }

    fn bar(&mut self) -> Result<()> {
        self.step("block-start", "barring K3s from starting", |w| {
            w.enter(Stage::Closing)?;
            w.machine.site.close()?;
            w.machine.service.reload()
        })
    }

    /// K3s is down, and its database at rest.
    pub(super) fn halt(&mut self) -> Result<()> {
        self.theirs("stop", "stopping K3s", |w| {
            w.enter(Stage::Stopping)?;
            w.machine.service.stop(w.req.stop_timeout)?;
            w.quiet()
        })
    }

    /// Copies are there of everything that K3s rewrites.
    pub(super) fn keep(&mut self) -> Result<()> {
        self.step("backup", "copying what K3s rewrites", |w| {
            // Who finds these copies unfinished has not to put anything back: nothing was rewritten.
            w.enter(Stage::Keeping)?;
            w.record.live_database = w.machine.site.live()?;
            w.record.backups = w.machine.site.keep(w.machine.site.to_keep())?;
            w.machine.site.write_config(w.req.config)
        })
    }

    /// K3s has made another database of what it was given.
    pub(super) fn reset(&mut self) -> Result<()> {
        let site = self.machine.site;
        self.enter(Stage::Resetting)?;
        site.unmark()?;
        site.wait_for_a_free_second(self.machine.clock, &|| std::thread::sleep(Duration::from_millis(200)))?;
        let pinned = match self.record.operation {
            Operation::Restore => Some(self.record.pinned.clone()),
            // K3s does not move the database aside here: it works on a copy then.
            _ => {
                site.set_aside((self.machine.clock)(), true)?;
                None
            }
        };
        let record = &mut self.record;
        let end = self.machine.k3s.reset(
            pinned.as_deref(),
            &mut |process| {
                record.reset = Some(process);
                site.write(record)
            },
            self.machine.progress,
        )?;
        let said = end.said.unwrap_or_else(|| "nothing".to_owned());
        if !end.success {
            return Err(anyhow!("K3s's reset ended with {}; the last it said: {said}", end.how));
        }
        // An exit code alone has been a lie before.
        site.after_reset(&self.record)?.map_err(|what| {
            anyhow!("K3s's reset ended with {}, but {what}; the last it said: {said}", end.how)
        })?;
        if !end.announced {
            self.report.warn(WarningCode::ResetNotConfirmed, "K3s did not say in words that are known here that the reset went well; what is on the disk says so");
        }
        told(self.report).old_database =
            self.machine.site.old_database(&self.record)?.map(|p| p.display().to_string());
        Ok(())
    }

    /// What K3s has made holds what it was made of.
    pub(super) fn check(&mut self, content: &Content) -> Result<()> {
        self.step("compare", "comparing the new database with what it was made of", |w| w.compare(content))
    }

    /// Entry by entry, before anybody serves it.
    fn compare(&mut self, content: &Content) -> Result<()> {
        if !until(QUIET, self.req.poll, self.machine.progress, || !self.machine.site.held().unwrap_or(true)) {
            return Err(anyhow!("a process has the new database open after the reset"));
        }
        let new = self.machine.site.database()?.context("the new database is not there")?;
        let new = at_rest(new, Some(content.facts.revision)).context("reading the new database")?;
        match content.compare(&new) {
            Comparison::Equal => {}
            Comparison::Compacted => {
                return Err(anyhow!("the new database was compacted past the snapshot's revision"));
            }
            Comparison::Differs(what) => {
                return Err(anyhow!("the new database is not what was in the snapshot: {what}"));
            }
        }
        self.machine.site.settle()
    }

    /// From a proven database to one that is served. The gate is open from here on.
    pub(super) fn up(&mut self, aim: &Aim) -> Result<()> {
        self.step("start", "starting K3s", |w| {
            w.enter(Stage::Starting)?;
            w.machine.site.unbar()?;
            w.machine.service.reload()?;
            w.machine.service.reset_failed()?;
            w.machine.service.start()
        })?;
        self.theirs("verify", "asking the running etcd", |w| w.prove(aim))?;
        if let Err(e) = self.enter(Stage::Restored) {
            // There is no way back all the same; whoever finds the record proves once more.
            self.report.warn(WarningCode::TidyFailed, format!("{e:#}"));
        }
        Ok(())
    }

    /// The point of no return.
    fn prove(&mut self, aim: &Aim) -> Result<()> {
        let machine = self.machine;
        let mut why = anyhow!("etcd has not answered");
        let mut over: Option<anyhow::Error> = None;
        let limit = self.req.ready_timeout;
        let done = until(limit, self.req.poll, machine.progress, || {
            if (machine.asked)() {
                over = Some(anyhow!("asked to stop before K3s served the snapshot's data"));
                return true;
            }
            if let Err(e) = self.alive() {
                over = Some(e);
                return true;
            }
            match self.look(aim) {
                Ok(None) => true,
                Ok(Some(wrong)) => {
                    over = Some(wrong);
                    true
                }
                Err(e) => {
                    why = e;
                    false
                }
            }
        });
        match over {
            Some(e) => Err(e),
            None if done => Ok(()),
            None => {
                Err(why.context(format!("K3s was started, but does not serve after {} s", limit.as_secs())))
            }
        }
    }

    /// An error where the unit will not come up by waiting.
    fn alive(&self) -> Result<()> {
        let unit = self.machine.service.unit()?;
        if unit.assert_failed && unit.active.is_down() {
            return Err(anyhow!("systemd refuses to start {}: an assertion of it failed", unit.name));
        }
        if unit.active == Active::Failed || unit.restarts >= RESTARTS {
            return Err(anyhow!(
                "K3s does not come up on the new database: {} is {} ({}), started anew {} times",
                unit.name,
                unit.active.as_str(),
                unit.result,
                unit.restarts
            ));
        }
        Ok(())
    }

    /// `None` where all that was asked for is there; an answer where it is wrong; an error where it cannot be had yet.
    fn look(&self, aim: &Aim) -> Result<Option<anyhow::Error>> {
        let look = self.machine.live.look()?;
        let Aim::Holds(content) = aim else { return joined(&look) };
        let [member] = look.members.as_slice() else {
            return Ok(Some(anyhow!("the new etcd has {} members instead of one", look.members.len())));
        };
        // Its id tells nothing: it follows from its address, and may be the one from before. K3s gives each a new name.
        if let Some(name) = self.machine.site.member_name().filter(|n| *n != member.name) {
            anyhow::bail!("the etcd that answers is '{}', not '{name}'", member.name.escape_debug());
        }
        Ok(match self.machine.live.holds(content.facts.revision, content.live_keys, &content.sample)? {
            // It was compared while it was at rest.
            Comparison::Equal | Comparison::Compacted => None,
            Comparison::Differs(what) => {
                Some(anyhow!("the running etcd does not hold what was in the snapshot: {what}"))
            }
        })
    }

    /// Writes down how far it is, before the deeds of that stage.
    pub(super) fn enter(&mut self, stage: Stage) -> Result<()> {
        if stage < Stage::Restored {
            anyhow::ensure!(!(self.machine.asked)(), "asked to stop before '{}'", stage.as_str());
        }
        self.record.stage = stage;
        self.machine.site.write(&self.record)
    }

    /// Waits until nobody has the ports or the database any more.
    pub(super) fn quiet(&self) -> Result<()> {
        let mut who = String::new();
        let quiet = until(QUIET, self.req.poll, self.machine.progress, || {
            let listeners = (self.machine.listeners)(self.req.ports).unwrap_or_default();
            who = listeners
                .iter()
                .map(|l| format!("port {} by '{}'", l.port, l.program))
                .collect::<Vec<_>>()
                .join(", ");
            let held = self.machine.site.held().unwrap_or(true);
            if held {
                who = "etcd's database".to_owned();
            }
            listeners.is_empty() && !held
        });
        anyhow::ensure!(quiet, "K3s is down, but still in use is {who}");
        Ok(())
    }

    pub(super) fn step(
        &mut self,
        name: &'static str,
        text: &str,
        deed: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let begun = Instant::now();
        self.machine.progress.step(text, None);
        log::debug!("{text}");
        let done = deed(self);
        let state = if done.is_ok() { "done" } else { "failed" };
        told(self.report).step(name, state, Some(ms(begun.elapsed())));
        done
    }

    /// A step whose time is K3s's own.
    pub(super) fn theirs(
        &mut self,
        name: &'static str,
        text: &str,
        deed: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let begun = Instant::now();
        let done = self.step(name, text, deed);
        self.k3s += begun.elapsed();
        done
    }

    /// Notes how long K3s did not serve: until that moment, else until now.
    pub(super) fn times(&mut self, end: Option<Instant>) {
        let Some(down) = self.down else { return };
        let all = end.unwrap_or_else(Instant::now).duration_since(down);
        let (all, k3s) = (ms(all), ms(self.k3s));
        let told = told(self.report);
        told.downtime_ms = Some(all);
        told.k3s_ms = Some(k3s);
        told.own_ms = Some(all.saturating_sub(k3s));
    }
}

pub(super) fn ms(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

/// The content of a database that nobody has open, up to a revision.
pub(super) fn at_rest(file: FileAt, upto: Option<i64>) -> Result<Content> {
    let (data, db_len) = inspect::open_offline(file)?.map_err(|f| anyhow!("it is damaged: {f}"))?;
    inspect::read_content(&data as &dyn ReadAt, db_len, upto)?.map_err(|all| {
        anyhow!("it is damaged: {}", all.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    })
}

// SPDX-License-Identifier: Apache-2.0
//! systemd, asked over the system bus. The only folder that knows the bus, and one of two places that know a runtime:
//! one `block_on` a call, nothing kept. Never restarts, never isolates: a stop and a start are two deeds.

mod bus;
mod error;
mod journal;

use std::time::{Duration, Instant};

use anyhow::Result;
use zbus::{OwnedObjectPath, Variant};

use super::{Unit, UnitControl};
use crate::distribution::Distribution;
use crate::model::unit::{Definition, k3s_in, the_one};
use bus::Bus;

/// For a question that systemd answers from memory.
const ANSWER: Duration = Duration::from_secs(10);
/// The same for the settings, which can do without the answer.
const QUICK: Duration = Duration::from_secs(2);
/// For reading all units again, on a busy machine with many of them.
const RELOAD: Duration = Duration::from_secs(90);
/// How systemd is to treat other jobs of the unit: as `systemctl` does.
const MODE: &str = "replace";
/// The unit that finishes a restore whose process was killed.
const RECOVER_FINISH: &str = "k3s-snapshot-recover-finish.service";

/// A unit of the system's service manager.
#[derive(Debug, Clone)]
pub struct Systemd {
    unit: String,
}

impl Systemd {
    /// The unit of this name; `.service` may be left out. Nothing is asked yet.
    pub fn new(unit: &str) -> Systemd {
        Systemd { unit: full_name(unit) }
    }

    /// Its name, with `.service`.
    pub fn name(&self) -> &str {
        &self.unit
    }

    async fn ask(&self, bus: &Bus) -> Result<Unit> {
        bus.load(&self.unit).await?.unit(bus, &self.unit).await
    }
}

/// K3s's unit: the one that is wanted, else the one of the distribution's usual name, else the one loaded unit that
/// runs its server (or, where none does, its agent). Several or none is an error.
pub fn find(distribution: &Distribution, wanted: Option<&str>) -> Result<Systemd> {
    bus::run("the search for K3s's unit", ANSWER, async {
        let bus = Bus::open().await?;
        let found = search(&bus, distribution, wanted).await?;
        found.map(|d| Systemd { unit: d.name }).map_err(|names| error::ambiguous(distribution, &names))
    })
}

/// What [`find`] finds, as the settings need it: quick, and `None` where there is no bus, no answer in time, or no unit
/// that could be meant. A unit that is wanted and does not exist is an error.
pub fn definition(distribution: &Distribution, wanted: Option<&str>) -> Result<Option<Definition>> {
    let begun = Instant::now();
    let mut reached = false;
    let found = bus::run("the question for K3s's unit", QUICK, async {
        let bus = Bus::open().await?;
        reached = true;
        search(&bus, distribution, wanted).await
    });
    log::debug!("systemd was asked for K3s's unit in {:?}", begun.elapsed());
    let (level, why) = match found {
        Ok(Ok(definition)) => return Ok(Some(definition)),
        Ok(Err(names)) if names.is_empty() => (log::Level::Debug, "no unit runs it".to_owned()),
        Ok(Err(names)) => {
            (log::Level::Warn, format!("several run it ({}), name one with --unit", names.join(", ")))
        }
        Err(e) if wanted.is_none() => (log::Level::Debug, format!("{e:#}")),
        Err(e) if reached => return Err(e),
        Err(e) => (log::Level::Warn, format!("{e:#}")),
    };
    log::log!(level, "the flags in the unit of {} are not known: {why}", distribution.name);
    Ok(None)
}

fn full_name(unit: &str) -> String {
    if unit.ends_with(".service") { unit.to_owned() } else { format!("{unit}.service") }
}

/// The unit, or the names of all that could be meant.
async fn search(
    bus: &Bus,
    distribution: &Distribution,
    wanted: Option<&str>,
) -> Result<Result<Definition, Vec<String>>> {
    let usual = wanted.map_or_else(|| distribution.unit.to_owned(), full_name);
    let unit = bus.load(&usual).await?;
    if let Some(definition) = unit.definition(bus).await {
        return Ok(Ok(definition));
    }
    if wanted.is_some() {
        return Err(error::unusable(&usual, &unit.state(bus).await));
    }
    let mut candidates = Vec::new();
    for (name, loaded) in bus.services().await? {
        let exec_start = loaded.exec_start(bus).await;
        if k3s_in(&exec_start, distribution.program).is_some() {
            candidates.extend(loaded.definition(bus).await);
        } else {
            log::trace!("{name} does not run K3s");
        }
    }
    candidates.sort_by(|a, b| a.name.cmp(&b.name));
    let found = the_one(&candidates, distribution.program).cloned();
    Ok(found.map_err(|names| names.into_iter().map(str::to_owned).collect()))
}

impl UnitControl for Systemd {
    fn unit(&self) -> Result<Unit> {
        bus::run("the question for a unit", ANSWER, async { self.ask(&Bus::open().await?).await })
    }

    fn stop(&self, within: Duration) -> Result<()> {
        let stopping = async {
            let bus = Bus::open().await?;
            let unit = self.ask(&bus).await?;
            if unit.active.is_down() && !unit.has_job {
                return Ok(());
            }
            // Before the call, or the end of a quick stop is missed.
            let ends = bus.job_ends(&unit.name).await?;
            let job: OwnedObjectPath = bus
                .manager("StopUnit", &(&*self.unit, MODE))
                .await
                .map_err(|e| error::explain(&self.unit, "stopping", &e))?;
            match ends.of(&job).await?.as_str() {
                "done" => {}
                result => return Err(error::not_stopped(&self.unit, result)),
            }
            match self.ask(&bus).await?.active {
                active if active.is_down() => Ok(()),
                active => Err(error::started_again(&self.unit, active.as_str())),
            }
        };
        // Two deadlines: what is asked before and after the wait is not the unit's fault.
        bus::run("a stop", within + ANSWER, async {
            match tokio::time::timeout(within, stopping).await {
                Ok(stopped) => stopped,
                Err(_) => Err(error::still_stopping(&self.unit, within)),
            }
        })
    }

    fn start(&self) -> Result<()> {
        bus::run("the request for a start", ANSWER, async {
            let bus = Bus::open().await?;
            let started = bus.manager::<_, OwnedObjectPath>("StartUnit", &(&*self.unit, MODE)).await;
            started.map(drop).map_err(|e| error::explain(&self.unit, "starting", &e))
        })
    }

    fn reload(&self) -> Result<()> {
        bus::run("reading its units again", RELOAD, async {
            let bus = Bus::open().await?;
            let done = bus.manager::<_, ()>("Reload", &()).await;
            done.map_err(|e| error::explain(&self.unit, "reloading the units, among them", &e))
        })
    }

    fn reset_failed(&self) -> Result<()> {
        bus::run("forgetting a failure", ANSWER, async {
            let bus = Bus::open().await?;
            match bus.manager::<_, ()>("ResetFailedUnit", &(&*self.unit,)).await {
                // What systemd has forgotten altogether has not failed.
                Err(e) if !error::is_none(&e) => Err(error::explain(&self.unit, "resetting", &e)),
                _ => Ok(()),
            }
        })
    }

    fn fatal_message(&self, since: u64) -> Option<String> {
        journal::fatal_message(&self.unit, since)
    }

    fn watch_restore(&self) -> Result<()> {
        bus::run("the start of a unit", ANSWER, async {
            let bus = Bus::open().await?;
            let started = bus.manager::<_, OwnedObjectPath>("StartUnit", &(RECOVER_FINISH, MODE)).await;
            started.map(drop).map_err(|e| error::explain(RECOVER_FINISH, "starting", &e))
        })
    }
}

/// Moves a process into a scope of its own: a control group that `systemctl status` shows.
///
/// # Errors
/// If systemd cannot be asked, or refuses.
pub fn move_to_scope(pid: u32) -> Result<()> {
    let name = format!("k3s-snapshot-aside-{pid}.scope");
    let properties = [("PIDs", Variant::from(vec![pid])), ("Description", Variant::from("K3s, run aside by k3s-snapshot"))];
    let auxiliary: [(&str, Vec<(&str, Variant)>); 0] = [];
    bus::run("the request for a scope", ANSWER, async {
        let bus = Bus::open().await?;
        let body = (name.as_str(), "fail", &properties[..], &auxiliary[..]);
        let started = bus.manager::<_, OwnedObjectPath>("StartTransientUnit", &body).await;
        started.map(drop).map_err(|e| error::explain(&name, "creating", &e))
    })
}

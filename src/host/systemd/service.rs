// SPDX-License-Identifier: Apache-2.0
//! A unit of systemd, asked over the system bus. Never restarts, never isolates: a stop and a start are two requests.

use std::time::{Duration, Instant};

use anyhow::Result;
use zbus::{OwnedObjectPath, Variant};

use super::bus::{self, Bus};
use super::{error, journal};
use crate::distribution::Distribution;
use crate::host::unit::{Unit, UnitControl};
use crate::model::unit::{Definition, k3s_in, the_one};

/// For a request that systemd answers from memory.
const ANSWER: Duration = Duration::from_secs(10);
/// For the settings, which can do without the answer.
const QUICK: Duration = Duration::from_secs(2);
/// For reading all units again on a busy machine with many units.
const RELOAD: Duration = Duration::from_secs(90);
/// How systemd treats other jobs of the unit: as with `systemctl`.
const MODE: &str = "replace";
/// The unit that finishes a restore whose process was killed.
const RECOVER_FINISH: &str = "k3s-snapshot-recover-finish.service";

/// A unit of the system's service manager.
#[derive(Debug, Clone)]
pub struct Systemd {
    unit: String,
}

impl Systemd {
    /// The unit of this name; `.service` may be left out. No request is made yet.
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

/// The K3s unit: the wanted one, else the one with the usual name of the distribution, else the only loaded unit that runs its
/// server (or, if there is none, its agent).
///
/// # Errors
/// If there is none, or more than one.
pub fn find(distribution: &Distribution, wanted: Option<&str>) -> Result<Systemd> {
    bus::run("the search for the K3s unit", ANSWER, async {
        let bus = Bus::open().await?;
        let found = search(&bus, distribution, wanted).await?;
        found.map(|d| Systemd { unit: d.name }).map_err(|names| error::ambiguous(distribution, &names))
    })
}

/// What [`find`] finds, as the settings need it: quick, and `None` if there is no bus, no answer in time, or no such unit.
///
/// # Errors
/// If the wanted unit does not exist.
pub fn definition(distribution: &Distribution, wanted: Option<&str>) -> Result<Option<Definition>> {
    let begun = Instant::now();
    let mut reached = false;
    let found = bus::run("the search for the K3s unit", QUICK, async {
        let bus = Bus::open().await?;
        reached = true;
        search(&bus, distribution, wanted).await
    });
    log::debug!("searching the K3s unit in systemd took {:?}", begun.elapsed());
    let (level, why) = match found {
        Ok(Ok(definition)) => return Ok(Some(definition)),
        Ok(Err(names)) if names.is_empty() => (log::Level::Debug, "no unit runs K3s".to_owned()),
        Ok(Err(names)) => {
            (log::Level::Warn, format!("several units run K3s ({}); set one with --unit", names.join(", ")))
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

/// The unit, or the names of all candidates.
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
        bus::run("the request for the state of a unit", ANSWER, async { self.ask(&Bus::open().await?).await })
    }

    fn stop(&self, within: Duration) -> Result<()> {
        let stopping = async {
            let bus = Bus::open().await?;
            let unit = self.ask(&bus).await?;
            if unit.active.is_down() && !unit.has_job {
                return Ok(());
            }
            // Followed before the request, or the end of a quick stop is missed.
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
        // Two time limits: the requests before and after the wait are not the unit's.
        bus::run("the stop of a unit", within + ANSWER, async {
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
        bus::run("reading all units again", RELOAD, async {
            let bus = Bus::open().await?;
            let done = bus.manager::<_, ()>("Reload", &()).await;
            done.map_err(|e| error::explain(&self.unit, "reloading the units, among them", &e))
        })
    }

    fn reset_failed(&self) -> Result<()> {
        bus::run("the reset of a failed unit", ANSWER, async {
            let bus = Bus::open().await?;
            match bus.manager::<_, ()>("ResetFailedUnit", &(&*self.unit,)).await {
                // A unit that systemd has forgotten has not failed.
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
    let properties = [
        ("PIDs", Variant::from(vec![pid])),
        ("Description", Variant::from("K3s, run aside by k3s-snapshot")),
    ];
    let auxiliary: [(&str, Vec<(&str, Variant)>); 0] = [];
    bus::run("the request for a scope", ANSWER, async {
        let bus = Bus::open().await?;
        let body = (name.as_str(), "fail", &properties[..], &auxiliary[..]);
        let started = bus.manager::<_, OwnedObjectPath>("StartTransientUnit", &body).await;
        started.map(drop).map_err(|e| error::explain(&name, "creating", &e))
    })
}

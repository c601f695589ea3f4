// SPDX-License-Identifier: Apache-2.0
//! A unit of systemd, asked over the system bus. Never restarts, never isolates: a stop and a start are two requests.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use zbus::{OwnedObjectPath, Variant};

use super::bus::{self, Bus};
use super::{error, journal};
use crate::distribution::Distribution;
use crate::error::{Code, code_of};
use crate::host::unit::{Unit, UnitControl};
use crate::model::unit::{Definition, UnitAnswer, find_k3s_command, mentions_k3s, select_unit};

/// A directory that exists if the machine was booted with systemd.
const BOOTED: &str = "/run/systemd/system";
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

/// The unit of K3s: the one that is wanted, else the one of the usual name of the distribution, else the one loaded unit that
/// runs a server (or, if there is none, an agent).
///
/// # Errors
/// If there is no such unit, or more than one, or systemd does not answer.
pub fn find(distribution: &Distribution, wanted: Option<&str>) -> Result<Systemd> {
    bus::run("the search for the K3s unit", ANSWER, async {
        let bus = Bus::open().await?;
        let candidates = match search(&bus, distribution, wanted).await? {
            Search::Named(unit) => return Ok(Systemd { unit: unit.name }),
            Search::Candidates(candidates) => candidates,
        };
        let unit = select_unit(&candidates, distribution.program).map_err(|names| {
            let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
            error::ambiguous(distribution, &names)
        })?;
        Ok(Systemd { unit: unit.name.clone() })
    })
}

/// What [`find`] finds, as the settings need it, within two seconds. No answer of systemd is an unknown unit, not an absent
/// one.
///
/// # Errors
/// If the unit that is wanted does not exist or cannot be used.
pub fn definition(distribution: &Distribution, wanted: Option<&str>) -> Result<UnitAnswer> {
    if !Path::new(BOOTED).is_dir() {
        return Ok(UnitAnswer::NoSystemd);
    }
    let started = Instant::now();
    let found = bus::run("the search for the K3s unit", QUICK, async {
        search(&Bus::open().await?, distribution, wanted).await
    });
    log::debug!("searching the {} unit in systemd took {:?}", distribution.name, started.elapsed());
    match found {
        Ok(Search::Named(unit)) => Ok(UnitAnswer::Found(unit)),
        Ok(Search::Candidates(units)) => Ok(UnitAnswer::from_units(&units, distribution)),
        Err(e)
            if wanted.is_some()
                && matches!(code_of(&e), Code::UnitNotFound | Code::UnitMasked | Code::UnitInvalid) =>
        {
            Err(e)
        }
        Err(e) => Ok(UnitAnswer::Unknown(format!("{e:#}"))),
    }
}

/// What a search for the unit found.
enum Search {
    /// The unit that is wanted, or the one of the usual name.
    Named(Definition),
    /// Other units that run K3s, or seem to.
    Candidates(Vec<Definition>),
}

fn full_name(unit: &str) -> String {
    if unit.ends_with(".service") { unit.to_owned() } else { format!("{unit}.service") }
}

async fn search(bus: &Bus, distribution: &Distribution, wanted: Option<&str>) -> Result<Search> {
    let usual = wanted.map_or_else(|| distribution.unit.to_owned(), full_name);
    let unit = bus.load(&usual).await?;
    if let Some(definition) = unit.definition(bus, &usual).await? {
        return Ok(Search::Named(definition));
    }
    let state = unit.state(bus, &usual).await?;
    // A unit whose file cannot be read or used is no absent unit.
    if wanted.is_some() || !matches!(state.as_str(), "not-found" | "masked") {
        return Err(error::unusable(&usual, &state));
    }
    let mut candidates = Vec::new();
    for (name, loaded) in bus.services().await? {
        let exec_start = loaded.exec_start(bus, &name).await?;
        let program = distribution.program;
        if find_k3s_command(&exec_start, program).is_some() || mentions_k3s(&exec_start, program) {
            candidates.extend(loaded.definition(bus, &name).await?);
        } else {
            log::trace!("{name} does not run K3s");
        }
    }
    candidates.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Search::Candidates(candidates))
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

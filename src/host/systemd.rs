// SPDX-License-Identifier: Apache-2.0
//! systemd, asked over the system bus. The only file that knows the bus, and one of two that know a runtime: one
//! `block_on` a call, nothing kept.

use std::time::Duration;

use anyhow::Result;

use super::flavour::Flavour;
use super::{Service, Unit};
use crate::error::{Fault, Kind};
use crate::model::unit::Definition;

/// A unit of the system's service manager.
#[derive(Debug, Clone)]
pub struct Systemd {
    unit: String,
}

impl Systemd {
    /// The unit of this name; `.service` may be left out. Nothing is asked yet.
    pub fn new(unit: &str) -> Systemd {
        let unit = if unit.contains('.') { unit.to_owned() } else { format!("{unit}.service") };
        Systemd { unit }
    }

    /// Its name, with `.service`.
    pub fn name(&self) -> &str {
        &self.unit
    }
}

/// K3s's unit: the one that is wanted, else the one of the distribution's usual name, else the one loaded unit that
/// runs its server (or, where none does, its agent). Several or none is an error.
pub fn find(flavour: &Flavour, wanted: Option<&str>) -> Result<Systemd> {
    let _ = wanted;
    Ok(Systemd::new(flavour.unit))
}

/// What [`find`] finds, as the settings need it: quick, and `None` where there is no bus, no answer in time, or no
/// such unit.
pub fn definition(flavour: &Flavour, wanted: Option<&str>) -> Option<Definition> {
    let _ = (flavour, wanted);
    None
}

impl Service for Systemd {
    fn unit(&self) -> Result<Unit> {
        Err(unwritten())
    }

    fn stop(&self, _within: Duration) -> Result<()> {
        Err(unwritten())
    }

    fn start(&self) -> Result<()> {
        Err(unwritten())
    }

    fn reload(&self) -> Result<()> {
        Err(unwritten())
    }

    fn reset_failed(&self) -> Result<()> {
        Err(unwritten())
    }
}

fn unwritten() -> anyhow::Error {
    Fault::new(Kind::Failed, "systemd is not asked yet").into()
}

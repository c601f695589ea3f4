// SPDX-License-Identifier: Apache-2.0
//! What went wrong with systemd, in words and with a next step.

use std::io;
use std::time::Duration;

use crate::distribution::Distribution;
use crate::error::{Code, Fault, Kind};

const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";

/// The bus cannot be reached.
pub(super) fn no_bus(e: &zbus::Error) -> anyhow::Error {
    let kind = match e {
        zbus::Error::Connection(e, _) | zbus::Error::InputOutput(e) => Some(e.kind()),
        _ => None,
    };
    let fault = match kind {
        Some(io::ErrorKind::PermissionDenied) => {
            Fault::new(Code::PermissionDenied, "the system bus lets only others in").hint("Run it as root.")
        }
        _ => Fault::new(Code::SystemdUnavailable, "systemd cannot be asked: there is no system bus")
            .hint("Run it on the machine itself, where systemd runs, and check that dbus.service does."),
    };
    anyhow::anyhow!("{}", plain(e)).context(fault)
}

/// The time is up.
pub(super) fn silent(what: &str, within: Duration) -> anyhow::Error {
    Fault::new(Code::SystemdTimeout, format!("systemd did not finish {what} within {}", seconds(within)))
        .hint("'systemctl list-jobs' shows what it waits for.")
        .into()
}

/// An answer that is an error. `doing` is what was tried with the unit.
pub(super) fn explain(unit: &str, doing: &str, e: &zbus::Error) -> anyhow::Error {
    let shown = unit.escape_debug();
    let fault = |code, message: String, hint: &str| Fault::new(code, message).hint(hint);
    let fault = match name(e).as_str() {
        "org.freedesktop.DBus.Error.AccessDenied"
        | "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"
        | "org.freedesktop.DBus.Error.AuthFailed" => {
            fault(Code::PermissionDenied, format!("{doing} unit '{shown}' is not allowed"), "Run it as root.")
        }
        NO_SUCH_UNIT => {
            return none(unit);
        }
        "org.freedesktop.DBus.Error.InvalidArgs" => fault(
            Code::UnitNotFound,
            format!("'{shown}' is not a unit's name"),
            "Name K3s's unit with --unit.",
        ),
        "org.freedesktop.systemd1.UnitMasked" => fault(
            Code::UnitMasked,
            format!("unit '{shown}' is masked"),
            "If that is not on purpose, undo it with 'systemctl unmask'.",
        ),
        "org.freedesktop.systemd1.LoadFailed" | "org.freedesktop.systemd1.BadUnitSetting" => fault(
            Code::UnitInvalid,
            format!("systemd cannot make sense of unit '{shown}'"),
            "'systemd-analyze verify' says what is wrong with its file.",
        ),
        "org.freedesktop.systemd1.ShuttingDown"
        | "org.freedesktop.systemd1.TransactionIsDestructive"
        | "org.freedesktop.systemd1.TransactionJobsConflicting" => fault(
            Code::SystemdJobConflict,
            format!("{doing} unit '{shown}' is refused because of another job, perhaps a shutdown"),
            "'systemctl list-jobs' shows it.",
        ),
        "org.freedesktop.DBus.Error.ServiceUnknown" | "org.freedesktop.DBus.Error.NameHasNoOwner" => fault(
            Code::SystemdUnavailable,
            "systemd is not on the system bus".to_owned(),
            "Run it on the machine itself, where systemd runs.",
        ),
        _ => Fault::new(Code::SystemdError, format!("{doing} unit '{shown}'")),
    };
    anyhow::anyhow!("{}", plain(e)).context(fault)
}

/// Whether the answer is that systemd does not have the unit.
pub(super) fn is_none(e: &zbus::Error) -> bool {
    name(e) == NO_SUCH_UNIT
}

/// A unit that was named and cannot be gone by, by systemd's word for why.
pub(super) fn unusable(unit: &str, state: &str) -> anyhow::Error {
    let shown = unit.escape_debug();
    let fault = match state {
        "masked" => Fault::new(Code::UnitMasked, format!("unit '{shown}' is masked"))
            .hint("If that is not on purpose, undo it with 'systemctl unmask'."),
        "bad-setting" | "error" => {
            Fault::new(Code::UnitInvalid, format!("systemd cannot make sense of unit '{shown}'"))
                .hint("'systemd-analyze verify' says what is wrong with its file.")
        }
        _ => return none(unit),
    };
    fault.into()
}

/// There is no such unit.
pub(super) fn none(unit: &str) -> anyhow::Error {
    Fault::new(Code::UnitNotFound, format!("there is no unit '{}'", unit.escape_debug()))
        .hint("Name K3s's unit with --unit; 'systemctl list-unit-files' shows all.")
        .into()
}

/// No unit, or more than one, could be K3s's.
pub(super) fn ambiguous(distribution: &Distribution, names: &[String]) -> anyhow::Error {
    let (usual, program) = (distribution.unit, distribution.program);
    let why = match names {
        [] => format!("there is no unit '{usual}', and no other one runs '{program} server'"),
        several => format!("there is no unit '{usual}', and several run '{program}': {}", several.join(", ")),
    };
    Fault::new(Code::UnitAmbiguous, why).hint("Name K3s's unit with --unit.").into()
}

/// A stop that did not end well, by systemd's word for it.
pub(super) fn not_stopped(unit: &str, result: &str) -> anyhow::Error {
    let shown = unit.escape_debug();
    let (kind, why, hint) = match result {
        "canceled" => (
            Kind::Busy,
            "was called off by another one, perhaps somebody's start",
            "Find out who started it, and try again.",
        ),
        "timeout" => (Kind::Failed, "took longer than systemd waits", "'systemctl status' shows what hangs."),
        "dependency" => {
            (Kind::Failed, "failed with one of another unit", "'systemctl --failed' shows which one.")
        }
        _ => (Kind::Failed, "failed", "'systemctl status' and the journal show why."),
    };
    Fault::new(
        Code::UnitNotStopped,
        format!("the stop of unit '{shown}' {why} (result '{}')", result.escape_debug()),
    )
    .of_kind(kind)
    .hint(hint)
    .into()
}

/// A stop that goes on beyond our deadline.
pub(super) fn still_stopping(unit: &str, within: Duration) -> anyhow::Error {
    Fault::new(
        Code::UnitNotStopped,
        format!(
            "unit '{}' has not stopped within {}, and is still being stopped",
            unit.escape_debug(),
            seconds(within)
        ),
    )
    .hint("'systemctl status' shows what hangs; systemd kills it after the unit's TimeoutStopSec.")
    .into()
}

/// A unit that runs again at the end of its stop.
pub(super) fn started_again(unit: &str, state: &str) -> anyhow::Error {
    Fault::new(
        Code::UnitRestarted,
        format!("unit '{}' was stopped, and is {state} again", unit.escape_debug()),
    )
    .hint("Find out who started it, and try again.")
    .into()
}

fn seconds(d: Duration) -> String {
    if d.subsec_millis() == 0 { format!("{} s", d.as_secs()) } else { format!("{:.1} s", d.as_secs_f64()) }
}

/// The name of the error on the bus; empty where it was not the other side that spoke.
fn name(e: &zbus::Error) -> String {
    match e {
        zbus::Error::MethodError(name, ..) => name.as_str().to_owned(),
        zbus::Error::FDO(e) => zbus::DBusError::name(&**e).as_str().to_owned(),
        _ => String::new(),
    }
}

/// What the other side said, without the name of the error.
fn plain(e: &zbus::Error) -> String {
    match e {
        zbus::Error::MethodError(_, Some(text), _) => text.clone(),
        zbus::Error::FDO(e) => {
            zbus::DBusError::description(&**e).map_or_else(|| e.to_string(), str::to_owned)
        }
        _ => e.to_string(),
    }
}

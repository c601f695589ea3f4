// SPDX-License-Identifier: Apache-2.0
//! Errors of systemd as faults: a code, a message and a hint.

use std::io;
use std::time::Duration;

use crate::distribution::Distribution;
use crate::error::{Code, Fault, Kind};

const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";

/// The system bus cannot be reached.
pub(super) fn no_bus(e: &zbus::Error) -> anyhow::Error {
    let kind = match e {
        zbus::Error::Connection(e, _) | zbus::Error::InputOutput(e) => Some(e.kind()),
        _ => None,
    };
    let fault = match kind {
        Some(io::ErrorKind::PermissionDenied) => {
            Fault::new(Code::PermissionDenied, "connecting to the system bus: permission denied")
                .hint("Run this command as root.")
        }
        _ => Fault::new(Code::SystemdUnavailable, "connecting to systemd: there is no system bus")
            .hint("Run this command on the host, not in a container, and check 'systemctl status dbus'."),
    };
    anyhow::anyhow!("{}", plain(e)).context(fault)
}

/// systemd did not answer in time.
pub(super) fn silent(what: &str, within: Duration) -> anyhow::Error {
    Fault::new(Code::SystemdTimeout, format!("systemd did not finish {what} within {}", seconds(within)))
        .hint("Run 'systemctl list-jobs' to see what systemd waits for.")
        .into()
}

/// An error that systemd returned. `doing` is the operation on the unit.
pub(super) fn explain(unit: &str, doing: &str, e: &zbus::Error) -> anyhow::Error {
    let shown = unit.escape_debug();
    let fault = |code, message: String, hint: &str| Fault::new(code, message).hint(for_unit(hint, unit));
    let fault = match name(e).as_str() {
        "org.freedesktop.DBus.Error.AccessDenied"
        | "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"
        | "org.freedesktop.DBus.Error.AuthFailed" => fault(
            Code::PermissionDenied,
            format!("{doing} unit '{shown}': permission denied"),
            "Run this command as root.",
        ),
        NO_SUCH_UNIT => {
            return none(unit);
        }
        "org.freedesktop.DBus.Error.InvalidArgs" => fault(
            Code::UnitNotFound,
            format!("'{shown}' is not the name of a unit"),
            "Set the unit of K3s with --unit NAME.service.",
        ),
        "org.freedesktop.systemd1.UnitMasked" => fault(
            Code::UnitMasked,
            format!("unit '{shown}' is masked"),
            "Run 'systemctl unmask UNIT' if the unit is not masked on purpose.",
        ),
        "org.freedesktop.systemd1.LoadFailed" | "org.freedesktop.systemd1.BadUnitSetting" => fault(
            Code::UnitInvalid,
            format!("{doing} unit '{shown}': the unit file is not valid"),
            "Run 'systemd-analyze verify UNIT' to see the problem.",
        ),
        "org.freedesktop.systemd1.ShuttingDown"
        | "org.freedesktop.systemd1.TransactionIsDestructive"
        | "org.freedesktop.systemd1.TransactionJobsConflicting" => fault(
            Code::SystemdJobConflict,
            format!("{doing} unit '{shown}': refused because of another job, such as a shutdown"),
            "Run 'systemctl list-jobs' to see the job, then try again.",
        ),
        "org.freedesktop.DBus.Error.ServiceUnknown" | "org.freedesktop.DBus.Error.NameHasNoOwner" => fault(
            Code::SystemdUnavailable,
            "connecting to systemd: systemd is not on the system bus".to_owned(),
            "Run this command on the host, not in a container.",
        ),
        _ => Fault::new(Code::SystemdError, format!("{doing} unit '{shown}'")),
    };
    anyhow::anyhow!("{}", plain(e)).context(fault)
}

/// Whether the error means that the unit does not exist.
pub(super) fn is_none(e: &zbus::Error) -> bool {
    name(e) == NO_SUCH_UNIT
}

/// Whether the error means that this version of systemd does not have the property, or that the unit was forgotten since.
pub(super) fn is_no_property(e: &zbus::Error) -> bool {
    const NO_PROPERTY: [&str; 3] = [
        NO_SUCH_UNIT,
        "org.freedesktop.DBus.Error.UnknownProperty",
        "org.freedesktop.DBus.Error.UnknownObject",
    ];
    NO_PROPERTY.contains(&name(e).as_str())
}

/// A property that has another type than in all known versions of systemd.
pub(super) fn odd_property(unit: &str, property: &str) -> anyhow::Error {
    Fault::new(
        Code::SystemdError,
        format!("asking about unit '{}': the property {property} has an unknown type", unit.escape_debug()),
    )
    .into()
}

/// A configured unit that cannot be used. `state` is the load state of systemd.
pub(super) fn unusable(unit: &str, state: &str) -> anyhow::Error {
    let shown = unit.escape_debug();
    let fault = match state {
        "masked" => Fault::new(Code::UnitMasked, format!("unit '{shown}' is masked"))
            .hint(for_unit("Run 'systemctl unmask UNIT' if the unit is not masked on purpose.", unit)),
        "bad-setting" | "error" => {
            Fault::new(Code::UnitInvalid, format!("loading unit '{shown}': the unit file is not valid"))
                .hint(for_unit("Run 'systemd-analyze verify UNIT' to see the problem.", unit))
        }
        _ => return none(unit),
    };
    fault.into()
}

/// There is no such unit.
pub(super) fn none(unit: &str) -> anyhow::Error {
    Fault::new(Code::UnitNotFound, format!("there is no unit '{}'", unit.escape_debug()))
        .hint("Set the unit of K3s with --unit NAME.service; 'systemctl list-unit-files' lists all units.")
        .into()
}

/// No unit runs K3s, or more than one does.
pub(super) fn ambiguous(distribution: &Distribution, names: &[String]) -> anyhow::Error {
    let (usual, program) = (distribution.unit, distribution.program);
    let why = match names {
        [] => format!("there is no unit '{usual}', and no other unit runs '{program} server'"),
        several => {
            format!("there is no unit '{usual}', and several units run '{program}': {}", several.join(", "))
        }
    };
    Fault::new(Code::UnitAmbiguous, why).hint("Set the unit of K3s with --unit NAME.service.").into()
}

/// A stop that did not succeed. `result` is the result word of systemd.
pub(super) fn not_stopped(unit: &str, result: &str) -> anyhow::Error {
    let shown = unit.escape_debug();
    let (kind, why, hint) = match result {
        "canceled" => (
            Kind::Busy,
            "was canceled by another job, such as a start of the unit",
            "Run 'journalctl -u UNIT' to find out what started the unit, then try again.",
        ),
        "timeout" => (
            Kind::Failed,
            "took longer than the TimeoutStopSec of the unit",
            "Run 'systemctl status UNIT' to see which process is still running.",
        ),
        "dependency" => (
            Kind::Failed,
            "failed because the job of another unit failed",
            "Run 'systemctl --failed' to see the other unit.",
        ),
        _ => (
            Kind::Failed,
            "failed",
            "Run 'systemctl status UNIT' and 'journalctl -u UNIT' to see the reason.",
        ),
    };
    Fault::new(
        Code::UnitNotStopped,
        format!("the stop of unit '{shown}' {why} (result '{}')", result.escape_debug()),
    )
    .of_kind(kind)
    .hint(for_unit(hint, unit))
    .into()
}

/// A stop that takes longer than our timeout.
pub(super) fn still_stopping(unit: &str, within: Duration) -> anyhow::Error {
    Fault::new(
        Code::UnitNotStopped,
        format!(
            "unit '{}' has not stopped within {}, and is still being stopped",
            unit.escape_debug(),
            seconds(within)
        ),
    )
    .hint(for_unit(
        "Run 'systemctl status UNIT' to see which process is still running; systemd kills it after TimeoutStopSec.",
        unit,
    ))
    .into()
}

/// A unit that is active again after its stop.
pub(super) fn started_again(unit: &str, state: &str) -> anyhow::Error {
    Fault::new(
        Code::UnitRestarted,
        format!("unit '{}' was stopped, and is {state} again", unit.escape_debug()),
    )
    .hint(for_unit("Run 'journalctl -u UNIT' to find out what started the unit, then try again.", unit))
    .into()
}

/// A hint with the name of the unit in its commands.
fn for_unit(hint: &str, unit: &str) -> String {
    hint.replace("UNIT", &unit.escape_debug().to_string())
}

fn seconds(d: Duration) -> String {
    if d.subsec_millis() == 0 { format!("{} s", d.as_secs()) } else { format!("{:.1} s", d.as_secs_f64()) }
}

/// The D-Bus name of the error; empty if the error is not an answer of systemd.
fn name(e: &zbus::Error) -> String {
    match e {
        zbus::Error::MethodError(name, ..) => name.as_str().to_owned(),
        zbus::Error::FDO(e) => zbus::DBusError::name(&**e).as_str().to_owned(),
        _ => String::new(),
    }
}

/// The text of the error, without its D-Bus name.
fn plain(e: &zbus::Error) -> String {
    match e {
        zbus::Error::MethodError(_, Some(text), _) => text.clone(),
        zbus::Error::FDO(e) => {
            zbus::DBusError::description(&**e).map_or_else(|| e.to_string(), str::to_owned)
        }
        _ => e.to_string(),
    }
}

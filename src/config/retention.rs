// SPDX-License-Identifier: Apache-2.0
//! The retention policies of the settings. Only a prune asks for them, so that a save does not fail because of them.
//!
//! There is one policy for all bases of names, and one for each base that our configuration names. The policies of the
//! snapshot directory and of the bucket differ only in the number of newest snapshots.

use anyhow::{Context, Result};
use jiff::tz::TimeZone;

use super::layer::{Layer, Origin};
use super::options::OptionId;
use crate::error::{Code, Fault, Kind};
use crate::model::retention::{Location, Policies, Policy};

/// The key in our configuration that has options of single bases.
pub const OF_BASES: &str = "retention";

/// The number that K3s has too.
const LAST: OptionId = OptionId::SnapshotRetention;
/// The same for the bucket.
const LAST_S3: OptionId = OptionId::S3Retention;
/// The options that K3s does not have.
const KEEP: [OptionId; 6] = [
    OptionId::KeepHourly,
    OptionId::KeepDaily,
    OptionId::KeepWeekly,
    OptionId::KeepMonthly,
    OptionId::KeepYearly,
    OptionId::KeepWithin,
];

/// The options that can be set for a base.
pub(crate) const OPTIONS_OF_BASES: [OptionId; 8] = [
    LAST,
    LAST_S3,
    OptionId::KeepHourly,
    OptionId::KeepDaily,
    OptionId::KeepWeekly,
    OptionId::KeepMonthly,
    OptionId::KeepYearly,
    OptionId::KeepWithin,
];

/// The names of the options that can be set for a base.
pub fn names_of_bases() -> [&'static str; 8] {
    OPTIONS_OF_BASES.map(OptionId::name)
}

fn is_set_for_us(merged: &Layer, id: OptionId) -> bool {
    merged.effective(id).is_some_and(|(_, origin)| origin.set_here())
}

/// Whether a part of the policy is set for this program.
pub(super) fn is_set_here(merged: &Layer) -> bool {
    is_set_for_us(merged, LAST) || KEEP.iter().any(|id| is_set_for_us(merged, *id))
}

/// Unsets the numbers that were not set for this program, those of K3s included, if another option replaces them: every
/// `keep-*` replaces both numbers, and a number of ours for all locations replaces the number of K3s for its bucket.
pub(super) fn resolve_defaults(merged: &mut Layer) {
    let has_keep = KEEP.iter().any(|id| merged.effective(*id).is_some());
    for (id, is_replaced) in [(LAST_S3, has_keep || is_set_for_us(merged, LAST)), (LAST, has_keep)] {
        if is_replaced && !is_set_for_us(merged, id) {
            merged.set(id, vec![], Origin::Default);
        }
    }
}

/// The time zone that is set, else the one of the system.
///
/// # Errors
/// If there is no time zone of that name.
pub(super) fn zone(merged: &Layer) -> Result<TimeZone> {
    match merged.effective(OptionId::Timezone) {
        Some((name, origin)) if !matches!(origin, Origin::Derived(_)) => TimeZone::get(name).map_err(|_| {
            merged.invalid_value(OptionId::Timezone, "is not a time zone like Europe/Berlin or UTC")
        }),
        _ => Ok(TimeZone::system()),
    }
}

/// The policies of a location. `raw` has all numbers, those included that others replace.
///
/// # Errors
/// If a number is wrong, or one of the policies would keep nothing.
pub(super) fn policies(raw: &Layer, zone: &TimeZone, location: Location) -> Result<Policies> {
    let resolved = |mut layer: Layer| {
        resolve_defaults(&mut layer);
        policy(&layer, zone.clone(), location)
    };
    let of_base = raw.bases().keys().map(|base| {
        let policy = resolved(raw.for_base(base)).with_context(|| format!("the retention of '{base}'"))?;
        Ok((base.clone(), policy))
    });
    Ok(Policies { of_base: of_base.collect::<Result<_>>()?, all: resolved(raw.clone())? })
}

fn policy(merged: &Layer, zone: TimeZone, location: Location) -> Result<Policy> {
    let or_none = |id: OptionId| Ok::<u32, anyhow::Error>(merged.count(id)?.unwrap_or(0));
    let (last, last_s3) = (merged.count(LAST)?, merged.count(LAST_S3)?);
    let policy = Policy {
        last: match location {
            Location::Local => last,
            Location::S3 => last_s3.or(last),
        },
        hourly: or_none(OptionId::KeepHourly)?,
        daily: or_none(OptionId::KeepDaily)?,
        weekly: or_none(OptionId::KeepWeekly)?,
        monthly: or_none(OptionId::KeepMonthly)?,
        yearly: or_none(OptionId::KeepYearly)?,
        within: merged.duration(OptionId::KeepWithin)?.map(|d| d.as_secs()),
        zone,
    };
    if policy.is_empty() {
        return Err(keeps_nothing(merged));
    }
    Ok(policy)
}

fn keeps_nothing(merged: &Layer) -> anyhow::Error {
    let by_flag = |id: &OptionId| matches!(merged.effective(*id), Some((_, Origin::Flag(_))));
    let kind = if KEEP.iter().any(by_flag) { Kind::Usage } else { Kind::Config };
    Fault::new(Code::RetentionKeepsNothing, "the retention policy would keep no snapshot, so nothing is deleted")
        .of_kind(kind)
        .hint("Set --snapshot-retention (0 keeps all) or one of --keep-* to more than 0; --show-config prints them.")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::layer::OptionValue;
    use crate::error::kind_of;

    type Set = (OptionId, &'static str, Origin);

    fn merged(set: &[Set]) -> Layer {
        let mut all = Layer::default();
        all.set(LAST, vec!["5".into()], Origin::Default);
        for (id, value, origin) in set {
            all.set(*id, vec![(*value).to_owned()], origin.clone());
        }
        all
    }

    fn in_location(set: &[Set], location: Location) -> Result<Policy> {
        policies(&merged(set), &TimeZone::UTC, location).map(|p| p.all)
    }

    fn flag(id: OptionId, value: &'static str) -> Set {
        (id, value, Origin::Flag(id.name().into()))
    }

    fn k3s(id: OptionId, value: &'static str) -> Set {
        (id, value, Origin::K3s("/etc/rancher/k3s/config.yaml".into(), 1))
    }

    fn ours(id: OptionId, value: &'static str) -> Set {
        (id, value, Origin::File("/etc/k3s-snapshot/config.yaml".into(), 1))
    }

    #[test]
    fn numbers_are_replaced_by_the_options_that_override_them() {
        /// The rule, what is set, the number for the directory, the number for the bucket, days.
        type Case = (&'static str, Vec<Set>, Option<u32>, Option<u32>, u32);
        #[rustfmt::skip]
        let rows: &[Case] = &[
            ("the default is K3s's", vec![], Some(5), Some(5), 0),
            ("the number of K3s", vec![k3s(LAST, "8")], Some(8), Some(8), 0),
            ("a negative number of K3s keeps all", vec![k3s(LAST, "-1")], Some(0), Some(0), 0),
            ("0 keeps all", vec![flag(LAST, "0")], Some(0), Some(0), 0),
            ("a keep-* replaces the default", vec![flag(OptionId::KeepDaily, "7")], None, None, 7),
            ("a keep-* of a file, too", vec![ours(OptionId::KeepDaily, "7")], None, None, 7),
            ("a keep-* replaces the number of K3s", vec![k3s(LAST, "8"), ours(OptionId::KeepDaily, "7")], None, None, 7),
            ("a keep-* replaces the number in the unit of K3s", vec![(LAST, "8", Origin::ExecStart("u".into())), ours(OptionId::KeepDaily, "7")], None, None, 7),
            ("a keep-* is added to a number of ours", vec![ours(LAST, "3"), flag(OptionId::KeepDaily, "7")], Some(3), Some(3), 7),
            ("a keep-* is added to a number of our environment", vec![(LAST, "3", Origin::Env("X".into())), flag(OptionId::KeepDaily, "7")], Some(3), Some(3), 7),
            ("the number of K3s for its bucket", vec![k3s(LAST, "8"), k3s(LAST_S3, "20")], Some(8), Some(20), 0),
            ("only the number of K3s for its bucket", vec![k3s(LAST_S3, "20")], Some(5), Some(20), 0),
            ("a number of ours overrides the number of K3s for its bucket", vec![ours(LAST, "9"), k3s(LAST_S3, "2")], Some(9), Some(9), 0),
            ("a keep-* replaces both numbers of K3s", vec![k3s(LAST, "8"), k3s(LAST_S3, "20"), flag(OptionId::KeepDaily, "7")], None, None, 7),
            ("our number for the bucket", vec![k3s(LAST, "8"), flag(LAST_S3, "30")], Some(8), Some(30), 0),
            ("our number for the bucket and one for all locations", vec![ours(LAST, "9"), ours(LAST_S3, "30")], Some(9), Some(30), 0),
            ("our number for the bucket and a keep-* for both", vec![flag(LAST_S3, "30"), flag(OptionId::KeepDaily, "7")], None, Some(30), 7),
            ("0 for the bucket keeps all in it", vec![flag(LAST_S3, "0")], Some(5), Some(0), 0),
        ];
        for (rule, set, local, remote, daily) in rows {
            for (location, last) in [(Location::Local, local), (Location::S3, remote)] {
                let policy = in_location(set, location).unwrap();
                assert_eq!((policy.last, policy.daily), (*last, *daily), "{rule}, {location:?}");
            }
        }
        let policy = in_location(&[flag(OptionId::KeepWithin, "2d")], Location::Local).unwrap();
        assert_eq!(policy.within, Some(172_800));
    }

    #[test]
    fn options_of_a_base_override_files_but_not_the_environment_and_flags() {
        /// The rule, what is set for all bases, what for this one; number, days, weeks.
        type Case = (&'static str, Vec<Set>, Vec<Set>, Option<u32>, u32, u32);
        #[rustfmt::skip]
        let rows: &[Case] = &[
            ("nothing is set for the base", vec![ours(OptionId::KeepDaily, "7")], vec![], None, 7, 0),
            ("its own option overrides the one for all", vec![ours(OptionId::KeepDaily, "7")], vec![ours(OptionId::KeepDaily, "30")], None, 30, 0),
            ("the other options for all apply", vec![ours(OptionId::KeepDaily, "7")], vec![ours(OptionId::KeepWeekly, "4")], None, 7, 4),
            ("0 unsets an option for all", vec![ours(OptionId::KeepDaily, "7")], vec![ours(OptionId::KeepDaily, "0"), ours(OptionId::KeepWeekly, "4")], None, 0, 4),
            ("its keep-* replaces the default", vec![], vec![ours(OptionId::KeepDaily, "30")], None, 30, 0),
            ("a keep-* replaces the number of K3s", vec![k3s(LAST, "8")], vec![ours(OptionId::KeepDaily, "30")], None, 30, 0),
            ("its number replaces the one for all", vec![ours(LAST, "3")], vec![ours(LAST, "9")], Some(9), 0, 0),
            ("its number is added to a keep-*", vec![ours(OptionId::KeepDaily, "7")], vec![ours(LAST, "9")], Some(9), 7, 0),
            ("a flag overrides it", vec![flag(OptionId::KeepDaily, "2")], vec![ours(OptionId::KeepDaily, "30")], None, 2, 0),
            ("a variable overrides it", vec![(OptionId::KeepDaily, "2", Origin::Env("X".into()))], vec![ours(OptionId::KeepDaily, "30")], None, 2, 0),
        ];
        for (rule, set, own, last, daily, weekly) in rows {
            let mut all = merged(set);
            let entry = |(id, value, origin): &Set| {
                (*id, OptionValue { values: vec![(*value).to_owned()], origin: origin.clone() })
            };
            all.set_base("timer".into(), own.iter().map(entry).collect());
            let policies = policies(&all, &TimeZone::UTC, Location::Local).unwrap();
            let of = policies.for_base("timer");
            assert_eq!((of.last, of.daily, of.weekly), (*last, *daily, *weekly), "{rule}");
            assert_eq!(
                policies.for_base("other").daily,
                in_location(set, Location::Local).unwrap().daily,
                "{rule}"
            );
        }
        let mut all = merged(&[]);
        let entry = OptionValue { values: vec!["0".into()], origin: ours(OptionId::KeepDaily, "").2 };
        all.set_base("timer".into(), [(OptionId::KeepDaily, entry)].into());
        let e = policies(&all, &TimeZone::UTC, Location::S3).unwrap_err();
        assert_eq!(kind_of(&e), Kind::Config);
        assert!(format!("{e:#}").contains("'timer'"), "{e:#}");
    }

    #[test]
    fn an_empty_policy_and_a_wrong_number_are_errors_of_their_origin() {
        for (set, kind) in [
            (flag(OptionId::KeepDaily, "0"), Kind::Usage),
            (ours(OptionId::KeepDaily, "0"), Kind::Config),
            (flag(OptionId::KeepDaily, "-1"), Kind::Usage),
            (flag(LAST, "many"), Kind::Usage),
            (flag(LAST_S3, "many"), Kind::Usage),
            (ours(LAST, "-1"), Kind::Config),
            (k3s(LAST, "many"), Kind::Config),
            (flag(OptionId::KeepWithin, "0s"), Kind::Usage),
            (ours(OptionId::KeepWithin, "soon"), Kind::Config),
        ] {
            let e = in_location(std::slice::from_ref(&set), Location::Local).unwrap_err();
            assert_eq!(kind_of(&e), kind, "{set:?}");
        }
    }

    #[test]
    fn the_time_zone_is_the_one_that_is_set_or_that_of_the_system() {
        let named = zone(&merged(&[flag(OptionId::Timezone, "Europe/Berlin")])).unwrap();
        assert_eq!(named.iana_name(), Some("Europe/Berlin"));
        assert!(zone(&merged(&[])).is_ok());
        let e = zone(&merged(&[flag(OptionId::Timezone, "Mars/Olympus")])).unwrap_err();
        assert_eq!(kind_of(&e), Kind::Usage);
    }
}

// SPDX-License-Identifier: Apache-2.0
//! The retention policies out of the merged settings. Asked for by those who prune: a save does not fail for its sake.
//!
//! There is one for all bases of names, and one for each base that our configuration says something of; and both for
//! the folder and for the bucket, which differ in their number only.

use anyhow::{Context, Result};
use jiff::tz::TimeZone;

use super::layer::{Layer, Origin};
use super::settings::{bad, parse_duration};
use crate::error::{Code, Fault, Kind};
use crate::model::retention::{Location, Policies, Policy};

/// The mapping in our configuration that says something of single bases.
pub const OF_BASES: &str = "retention";

/// The number that K3s has too.
const LAST: &str = "snapshot-retention";
/// The same for the bucket.
const LAST_S3: &str = "s3-retention";
/// The rest of them.
const KEEP: [&str; 6] =
    ["keep-hourly", "keep-daily", "keep-weekly", "keep-monthly", "keep-yearly", "keep-within"];

/// The options that may be said of a base.
pub const KEYS: [&str; 8] =
    [LAST, LAST_S3, "keep-hourly", "keep-daily", "keep-weekly", "keep-monthly", "keep-yearly", "keep-within"];

/// Takes back the numbers that nobody chose for us, K3s's included, where something was chosen that replaces them:
/// both where there is a `keep-*`, and K3s's number for its bucket where there is one of ours for all places.
pub(super) fn settle(merged: &mut Layer) {
    let chosen = |merged: &Layer, key: &str| merged.get(key).is_some_and(|e| e.origin.is_ours());
    let keep = KEEP.iter().any(|key| merged.get(key).is_some());
    for (key, replaced) in [(LAST_S3, keep || chosen(merged, LAST)), (LAST, keep)] {
        if replaced && !chosen(merged, key) {
            merged.set(key, vec![], Origin::Default);
        }
    }
}

/// The zone that was named, else the system's.
pub(super) fn zone(merged: &Layer) -> Result<TimeZone> {
    match merged.last("timezone") {
        Some((name, origin)) if !matches!(origin, Origin::Derived(_)) => TimeZone::get(name)
            .map_err(|_| bad(merged, "timezone", "is not a time zone like Europe/Berlin or UTC")),
        _ => Ok(TimeZone::system()),
    }
}

/// The policies of a place; an error where one of them would keep nothing. `merged` is not settled yet.
pub(super) fn policies(merged: &Layer, zone: &TimeZone, place: Location) -> Result<Policies> {
    let settled = |mut fragment: Layer| {
        settle(&mut fragment);
        policy(&fragment, zone.clone(), place)
    };
    let of_base = merged.bases().keys().map(|base| {
        let policy = settled(merged.of_base(base)).with_context(|| format!("the retention of '{base}'"))?;
        Ok((base.clone(), policy))
    });
    Ok(Policies { of_base: of_base.collect::<Result<_>>()?, all: settled(merged.clone())? })
}

fn policy(merged: &Layer, zone: TimeZone, place: Location) -> Result<Policy> {
    let count = |key: &str| -> Result<Option<u32>> {
        let Some((text, _)) = merged.last(key) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| bad(merged, key, "is not a number from 0 to 4294967295"))
    };
    let or_none = |key: &str| Ok::<u32, anyhow::Error>(count(key)?.unwrap_or(0));
    let within = match merged.last("keep-within") {
        None => None,
        Some((text, _)) => match parse_duration(text) {
            Some(d) => Some(d.as_secs()),
            None => {
                return Err(bad(
                    merged,
                    "keep-within",
                    "is not a duration like 36h, 7d or 8w, longer than none",
                ));
            }
        },
    };
    let (last, last_s3) = (count(LAST)?, count(LAST_S3)?);
    let policy = Policy {
        last: match place {
            Location::Local => last,
            Location::S3 => last_s3.or(last),
        },
        hourly: or_none("keep-hourly")?,
        daily: or_none("keep-daily")?,
        weekly: or_none("keep-weekly")?,
        monthly: or_none("keep-monthly")?,
        yearly: or_none("keep-yearly")?,
        within,
        zone,
    };
    if policy.is_empty() {
        let said = |key: &&&str| merged.get(key).is_some();
        let by_flag = KEEP.iter().filter(said).any(|k| matches!(merged.last(k), Some((_, Origin::Flag(_)))));
        let kind = if by_flag { Kind::Usage } else { Kind::Config };
        return Err(Fault::new(Code::RetentionKeepsNothing, "the retention policy keeps nothing, so nothing is deleted")
            .of_kind(kind)
            .hint("Set one of --snapshot-retention (0 keeps all) and --keep-* to more than 0; --explain shows them.")
            .into());
    }
    Ok(policy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::layer::OptionValue;
    use crate::error::kind_of;

    type Said = (&'static str, &'static str, Origin);

    fn merged(said: &[Said]) -> Layer {
        let mut all = Layer::default();
        all.set(LAST, vec!["5".into()], Origin::Default);
        for (key, value, origin) in said {
            all.set(key, vec![(*value).to_owned()], origin.clone());
        }
        all
    }

    fn in_place(said: &[Said], place: Location) -> Result<Policy> {
        policies(&merged(said), &TimeZone::UTC, place).map(|p| p.all)
    }

    fn flag(key: &'static str, value: &'static str) -> Said {
        (key, value, Origin::Flag(key.into()))
    }

    fn k3s(key: &'static str, value: &'static str) -> Said {
        (key, value, Origin::K3s("/etc/rancher/k3s/config.yaml".into(), 1))
    }

    fn ours(key: &'static str, value: &'static str) -> Said {
        (key, value, Origin::File("/etc/k3s-snapshot/config.yaml".into(), 1))
    }

    #[test]
    fn what_replaces_what() {
        /// What it shows, what is said, the number for the folder, that for the bucket, days.
        type Case = (&'static str, Vec<Said>, Option<u32>, Option<u32>, u32);
        #[rustfmt::skip]
        let rows: &[Case] = &[
            ("the default is K3s's", vec![], Some(5), Some(5), 0),
            ("K3s's own number where it has one", vec![k3s(LAST, "8")], Some(8), Some(8), 0),
            ("0 is said and keeps all", vec![flag(LAST, "0")], Some(0), Some(0), 0),
            ("a keep-* replaces the default", vec![flag("keep-daily", "7")], None, None, 7),
            ("wherever it was said", vec![ours("keep-daily", "7")], None, None, 7),
            ("and K3s's number", vec![k3s(LAST, "8"), ours("keep-daily", "7")], None, None, 7),
            ("in its unit too", vec![(LAST, "8", Origin::ExecStart("u".into())), ours("keep-daily", "7")], None, None, 7),
            ("but adds to a number that was chosen", vec![ours(LAST, "3"), flag("keep-daily", "7")], Some(3), Some(3), 7),
            ("or by a variable", vec![(LAST, "3", Origin::Env("X".into())), flag("keep-daily", "7")], Some(3), Some(3), 7),
            ("K3s's number for its bucket", vec![k3s(LAST, "8"), k3s(LAST_S3, "20")], Some(8), Some(20), 0),
            ("K3s's number for its bucket alone", vec![k3s(LAST_S3, "20")], Some(5), Some(20), 0),
            ("a number that was chosen for all places is stronger", vec![ours(LAST, "9"), k3s(LAST_S3, "2")], Some(9), Some(9), 0),
            ("a keep-* replaces K3s's numbers", vec![k3s(LAST, "8"), k3s(LAST_S3, "20"), flag("keep-daily", "7")], None, None, 7),
            ("a number for the bucket is for the bucket", vec![k3s(LAST, "8"), flag(LAST_S3, "30")], Some(8), Some(30), 0),
            ("and beside one for all places", vec![ours(LAST, "9"), ours(LAST_S3, "30")], Some(9), Some(30), 0),
            ("and beside a keep-*, which holds for both", vec![flag(LAST_S3, "30"), flag("keep-daily", "7")], None, Some(30), 7),
            ("0 for the bucket keeps all of it", vec![flag(LAST_S3, "0")], Some(5), Some(0), 0),
        ];
        for (what, said, here, there, daily) in rows {
            for (place, last) in [(Location::Local, here), (Location::S3, there)] {
                let policy = in_place(said, place).unwrap();
                assert_eq!((policy.last, policy.daily), (*last, *daily), "{what}, {place:?}");
            }
        }
        let policy = in_place(&[flag("keep-within", "2d")], Location::Local).unwrap();
        assert_eq!(policy.within, Some(172_800));
    }

    #[test]
    fn what_is_said_of_a_base_lies_over_the_files_and_below_environment_and_flags() {
        /// What it shows, what is said of all, what of it; number, days, weeks.
        type Case = (&'static str, Vec<Said>, Vec<Said>, Option<u32>, u32, u32);
        #[rustfmt::skip]
        let rows: &[Case] = &[
            ("nothing is said of it", vec![ours("keep-daily", "7")], vec![], None, 7, 0),
            ("its own over that for all", vec![ours("keep-daily", "7")], vec![ours("keep-daily", "30")], None, 30, 0),
            ("what it does not say holds", vec![ours("keep-daily", "7")], vec![ours("keep-weekly", "4")], None, 7, 4),
            ("0 takes it back", vec![ours("keep-daily", "7")], vec![ours("keep-daily", "0"), ours("keep-weekly", "4")], None, 0, 4),
            ("its keep-* replaces the default", vec![], vec![ours("keep-daily", "30")], None, 30, 0),
            ("and K3s's number", vec![k3s(LAST, "8")], vec![ours("keep-daily", "30")], None, 30, 0),
            ("its number replaces that for all", vec![ours(LAST, "3")], vec![ours(LAST, "9")], Some(9), 0, 0),
            ("and adds to a keep-*", vec![ours("keep-daily", "7")], vec![ours(LAST, "9")], Some(9), 7, 0),
            ("a flag is stronger", vec![flag("keep-daily", "2")], vec![ours("keep-daily", "30")], None, 2, 0),
            ("so is a variable", vec![("keep-daily", "2", Origin::Env("X".into()))], vec![ours("keep-daily", "30")], None, 2, 0),
        ];
        for (what, said, own, last, daily, weekly) in rows {
            let mut all = merged(said);
            let entry = |(key, value, origin): &Said| {
                (*key, OptionValue { values: vec![(*value).to_owned()], origin: origin.clone() })
            };
            all.set_base("timer".into(), own.iter().map(entry).collect());
            let policies = policies(&all, &TimeZone::UTC, Location::Local).unwrap();
            let of = policies.for_base("timer");
            assert_eq!((of.last, of.daily, of.weekly), (*last, *daily, *weekly), "{what}");
            assert_eq!(
                policies.for_base("other").daily,
                in_place(said, Location::Local).unwrap().daily,
                "{what}"
            );
        }
        let mut all = merged(&[]);
        let entry = OptionValue { values: vec!["0".into()], origin: ours("", "").2 };
        all.set_base("timer".into(), [("keep-daily", entry)].into());
        let e = policies(&all, &TimeZone::UTC, Location::S3).unwrap_err();
        assert_eq!(kind_of(&e), Kind::Config);
        assert!(format!("{e:#}").contains("'timer'"), "{e:#}");
    }

    #[test]
    fn an_empty_policy_and_what_is_no_number_are_errors_by_their_origin() {
        for (said, kind) in [
            (flag("keep-daily", "0"), Kind::Usage),
            (ours("keep-daily", "0"), Kind::Config),
            (flag("keep-daily", "-1"), Kind::Usage),
            (flag(LAST, "many"), Kind::Usage),
            (flag(LAST_S3, "many"), Kind::Usage),
            (ours(LAST, "-1"), Kind::Config),
            (flag("keep-within", "0s"), Kind::Usage),
            (ours("keep-within", "soon"), Kind::Config),
        ] {
            let e = in_place(std::slice::from_ref(&said), Location::Local).unwrap_err();
            assert_eq!(kind_of(&e), kind, "{said:?}");
        }
    }

    #[test]
    fn zones_are_named_or_the_system_s() {
        let named = zone(&merged(&[flag("timezone", "Europe/Berlin")])).unwrap();
        assert_eq!(named.iana_name(), Some("Europe/Berlin"));
        assert!(zone(&merged(&[])).is_ok());
        let said = zone(&merged(&[flag("timezone", "Mars/Olympus")])).unwrap_err();
        assert_eq!(kind_of(&said), Kind::Usage);
    }
}

// SPDX-License-Identifier: Apache-2.0
//! The retention policy out of the merged settings. Asked for by those who prune: a save does not fail for its sake.

use anyhow::Result;
use jiff::tz::TimeZone;

use super::fragment::{Fragment, Origin};
use super::settings::{bad, parse_duration};
use crate::error::{Fault, Kind};
use crate::model::retention::Policy;

/// The option that K3s has too.
const LAST: &str = "snapshot-retention";
/// The rest of them.
const KEEP: [&str; 6] =
    ["keep-hourly", "keep-daily", "keep-weekly", "keep-monthly", "keep-yearly", "keep-within"];

/// Takes back the number that nobody chose for us, K3s's included, where there is a `keep-*`.
pub(super) fn settle(merged: &mut Fragment) {
    let chosen = merged.get(LAST).is_none_or(|e| e.origin != Origin::Default && !e.origin.is_k3s());
    if !chosen && KEEP.iter().any(|key| merged.get(key).is_some()) {
        merged.set(LAST, vec![], Origin::Default);
    }
}

/// The zone that was named, else the system's.
pub(super) fn zone(merged: &Fragment) -> Result<TimeZone> {
    match merged.last("timezone") {
        Some((name, origin)) if !matches!(origin, Origin::Derived(_)) => TimeZone::get(name)
            .map_err(|_| bad(merged, "timezone", "is not a time zone like Europe/Berlin or UTC")),
        _ => Ok(TimeZone::system()),
    }
}

/// The policy; an error where it would keep nothing.
pub(super) fn policy(merged: &Fragment, zone: TimeZone) -> Result<Policy> {
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
    let policy = Policy {
        last: count(LAST)?,
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
        return Err(Fault::new(kind, "the retention policy keeps nothing, so nothing is deleted")
            .hint("Set one of --snapshot-retention (0 keeps all) and --keep-* to more than 0; --explain shows them.")
            .into());
    }
    Ok(policy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::kind_of;

    type Said = (&'static str, &'static str, Origin);

    fn merged(said: &[Said]) -> Fragment {
        let mut all = Fragment::default();
        all.set(LAST, vec!["5".into()], Origin::Default);
        for (key, value, origin) in said {
            all.set(key, vec![(*value).to_owned()], origin.clone());
        }
        settle(&mut all);
        all
    }

    fn flag(key: &'static str, value: &'static str) -> Said {
        (key, value, Origin::Flag(key.into()))
    }

    fn k3s(key: &'static str, value: &'static str) -> Said {
        (key, value, Origin::K3s("/r/etc/rancher/k3s/config.yaml".into(), 1))
    }

    fn file(path: &str, key: &'static str, value: &'static str) -> Said {
        (key, value, Origin::File(path.into(), 1))
    }

    #[test]
    fn what_replaces_what() {
        let ours = "/r/etc/k3s-snapshot/config.yaml";
        let drop_in = "/r/etc/k3s-snapshot/config.yaml.d/a.yaml";
        #[rustfmt::skip]
        let rows: &[(&str, Vec<Said>, Option<u32>, u32)] = &[
            ("the default is K3s's", vec![], Some(5), 0),
            ("K3s's own number where it has one", vec![k3s(LAST, "8")], Some(8), 0),
            ("0 is said and keeps all", vec![flag(LAST, "0")], Some(0), 0),
            ("a keep-* replaces the default", vec![flag("keep-daily", "7")], None, 7),
            ("wherever it was said", vec![file(ours, "keep-daily", "7")], None, 7),
            ("and K3s's number", vec![k3s(LAST, "8"), file(ours, "keep-daily", "7")], None, 7),
            ("in its unit too", vec![(LAST, "8", Origin::ExecStart("u".into())), file(ours, "keep-daily", "7")], None, 7),
            ("but adds to a number that was chosen", vec![file(ours, LAST, "3"), flag("keep-daily", "7")], Some(3), 7),
            ("in a drop-in too", vec![file(drop_in, LAST, "3"), flag("keep-daily", "7")], Some(3), 7),
            ("or by a variable", vec![(LAST, "3", Origin::Env("X".into())), flag("keep-daily", "7")], Some(3), 7),
        ];
        for (what, said, last, daily) in rows {
            let policy = policy(&merged(said), TimeZone::UTC).unwrap();
            assert_eq!((policy.last, policy.daily), (*last, *daily), "{what}");
        }
        let policy = policy(&merged(&[flag("keep-within", "2d")]), TimeZone::UTC).unwrap();
        assert_eq!(policy.within, Some(172_800));
    }

    #[test]
    fn an_empty_policy_and_what_is_no_number_are_errors_by_their_origin() {
        let ours = "/r/etc/k3s-snapshot/config.yaml";
        for (said, kind) in [
            (flag("keep-daily", "0"), Kind::Usage),
            (file(ours, "keep-daily", "0"), Kind::Config),
            (flag("keep-daily", "-1"), Kind::Usage),
            (flag(LAST, "many"), Kind::Usage),
            (file(ours, LAST, "-1"), Kind::Config),
            (flag("keep-within", "0s"), Kind::Usage),
            (file(ours, "keep-within", "soon"), Kind::Config),
        ] {
            let e = policy(&merged(std::slice::from_ref(&said)), TimeZone::UTC).unwrap_err();
            assert_eq!(kind_of(&e), kind, "{said:?}");
        }
    }

    #[test]
    fn zones_are_named_or_the_system_s() {
        assert_eq!(
            zone(&merged(&[flag("timezone", "Europe/Berlin")])).unwrap().iana_name(),
            Some("Europe/Berlin")
        );
        assert!(zone(&merged(&[])).is_ok());
        let said = zone(&merged(&[flag("timezone", "Mars/Olympus")])).unwrap_err();
        assert_eq!(kind_of(&said), Kind::Usage);
    }
}

// SPDX-License-Identifier: Apache-2.0
//! The retention policy in the words of K3s and restic: the last N, one of each hour, day, week, month, year, and all within a
//! duration.
//!
//! Knows times only. Which snapshots count, and what is kept in addition, is decided in `group.rs`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Where snapshots are stored: each location has its own policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Location {
    /// The snapshot directory.
    Local,
    /// The bucket.
    S3,
}

/// A rule of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The newest snapshots.
    Last,
    /// The newest snapshot of each of the last hours that have one.
    Hourly,
    /// The newest snapshot of each of the last days that have one.
    Daily,
    /// The newest snapshot of each of the last weeks that have one. Weeks start on Monday, as in ISO 8601.
    Weekly,
    /// The newest snapshot of each of the last months that have one.
    Monthly,
    /// The newest snapshot of each of the last years that have one.
    Yearly,
    /// Every snapshot that is not older than the newest by more than a duration.
    Within,
}

impl Rule {
    /// Every rule, in the order of the reasons.
    pub const ALL: [Rule; 7] =
        [Rule::Last, Rule::Hourly, Rule::Daily, Rule::Weekly, Rule::Monthly, Rule::Yearly, Rule::Within];

    /// The name of its option, which is its stable word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Rule::Last => "keep-last",
            Rule::Hourly => "keep-hourly",
            Rule::Daily => "keep-daily",
            Rule::Weekly => "keep-weekly",
            Rule::Monthly => "keep-monthly",
            Rule::Yearly => "keep-yearly",
            Rule::Within => "keep-within",
        }
    }
}

/// A set of rules.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rules(u8);

impl Rules {
    fn add(&mut self, rule: Rule) {
        self.0 |= 1 << rule as u8;
    }

    /// Whether the rule is in the set.
    pub fn has(self, rule: Rule) -> bool {
        self.0 & (1 << rule as u8) != 0
    }
}

/// A retention policy. The rules add up: a snapshot that one of them keeps is kept.
#[derive(Debug, Clone)]
pub struct Policy {
    /// How many of the newest snapshots are kept; 0 keeps all, as in K3s.
    pub last: Option<u32>,
    /// For how many hours one is kept; 0 turns the rule off.
    pub hourly: u32,
    /// For how many days one is kept; 0 turns the rule off.
    pub daily: u32,
    /// For how many weeks one is kept; 0 turns the rule off.
    pub weekly: u32,
    /// For how many months one is kept; 0 turns the rule off.
    pub monthly: u32,
    /// For how many years one is kept; 0 turns the rule off.
    pub yearly: u32,
    /// Seconds before the newest snapshot within which all are kept.
    pub within: Option<u64>,
    /// The time zone of hours, days, weeks, months and years.
    pub zone: TimeZone,
}

impl Policy {
    /// A policy without rules.
    pub fn none(zone: TimeZone) -> Policy {
        Policy { last: None, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0, within: None, zone }
    }

    /// Whether it has no rule, and so would keep nothing.
    pub fn is_empty(&self) -> bool {
        self.last.is_none()
            && self.within.is_none()
            && [self.hourly, self.daily, self.weekly, self.monthly, self.yearly] == [0; 5]
    }

    /// Whether it keeps everything.
    pub fn keeps_all(&self) -> bool {
        self.last == Some(0)
    }

    /// Which rules keep which of these times: seconds since the epoch, newest first.
    pub fn apply(&self, times: &[u64]) -> Vec<Rules> {
        let mut kept = vec![Rules::default(); times.len()];
        let last = self.last.map_or(0, |n| if n == 0 { usize::MAX } else { n as usize });
        kept.iter_mut().take(last).for_each(|rules| rules.add(Rule::Last));
        if let (Some(within), Some(newest)) = (self.within, times.first()) {
            let recent =
                times.iter().zip(&mut kept).take_while(|(t, _)| newest.saturating_sub(**t) <= within);
            recent.for_each(|(_, rules)| rules.add(Rule::Within));
        }
        for (rule, count) in [
            (Rule::Hourly, self.hourly),
            (Rule::Daily, self.daily),
            (Rule::Weekly, self.weekly),
            (Rule::Monthly, self.monthly),
            (Rule::Yearly, self.yearly),
        ] {
            let (mut left, mut before) = (count, None);
            for (time, rules) in times.iter().zip(&mut kept) {
                if left == 0 {
                    break; // nothing older is kept
                }
                let period = Some(self.period(rule, *time));
                if period != before {
                    (left, before) = (left - 1, period);
                    rules.add(rule);
                }
            }
        }
        kept
    }

    /// The hour, day, week, month or year of a time: equal for all times in it, and for no others.
    fn period(&self, rule: Rule, time: u64) -> (i64, i32) {
        let time = i64::try_from(time).ok().and_then(|t| Timestamp::from_second(t).ok());
        let time = time.unwrap_or(Timestamp::MAX);
        let offset = self.zone.to_offset(time);
        let local = time.as_second() + i64::from(offset.seconds());
        let day = local.div_euclid(86_400);
        match rule {
            // The hour that is repeated when summer time ends counts as two hours.
            Rule::Hourly => (local.div_euclid(3600), offset.seconds()),
            Rule::Daily => (day, 0),
            Rule::Weekly => ((day + 3).div_euclid(7), 0), // 1970 began on a Thursday
            _ => {
                let date = offset.to_datetime(time);
                let month = if rule == Rule::Monthly { i32::from(date.month()) } else { 0 };
                (i64::from(date.year()), month)
            }
        }
    }
}

/// The policies of one location: a base may have its own policy.
#[derive(Debug, Clone)]
pub struct Policies {
    /// The policy of every base without its own policy.
    pub all: Policy,
    /// The policies of single bases.
    pub of_base: BTreeMap<String, Policy>,
}

impl Policies {
    /// The policy of the snapshots of this base.
    pub fn for_base(&self, base: &str) -> &Policy {
        self.of_base.get(base).unwrap_or(&self.all)
    }
}

impl From<Policy> for Policies {
    fn from(all: Policy) -> Policies {
        Policies { all, of_base: BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BERLIN: &str = "Europe/Berlin";

    fn policy(words: &str, zone: &str) -> Policy {
        let mut p = Policy::none(TimeZone::get(zone).unwrap());
        for (word, n) in words.split(' ').map(|w| w.split_once('=').unwrap()) {
            let n: u32 = n.parse().unwrap();
            match word {
                "last" => p.last = Some(n),
                "hourly" => p.hourly = n,
                "daily" => p.daily = n,
                "weekly" => p.weekly = n,
                "monthly" => p.monthly = n,
                "yearly" => p.yearly = n,
                "within" => p.within = Some(n.into()),
                _ => panic!("{word}"),
            }
        }
        p
    }

    /// The times that are kept, from times in any order.
    fn kept(words: &str, zone: &str, times: &[&str]) -> Vec<String> {
        let seconds = |t: &&str| u64::try_from(t.parse::<Timestamp>().unwrap().as_second()).unwrap();
        let mut all: Vec<(u64, &str)> = times.iter().map(|t| (seconds(t), *t)).collect();
        all.sort_unstable_by(|a, b| b.cmp(a));
        let rules = policy(words, zone).apply(&all.iter().map(|(t, _)| *t).collect::<Vec<_>>());
        let kept = all.iter().zip(rules).filter(|(_, r)| *r != Rules::default());
        kept.map(|((_, t), _)| (*t).to_owned()).collect()
    }

    #[test]
    fn each_rule_keeps_the_newest_of_its_periods() {
        /// Name, policy, time zone, times, and the indices of those that are kept.
        type Case = (&'static str, &'static str, &'static str, &'static [&'static str], &'static [usize]);
        #[rustfmt::skip]
        let rows: &[Case] = &[
            ("nothing of nothing", "last=3 daily=3 within=9", "UTC", &[], &[]),
            ("one of one", "daily=1", "UTC", &["2026-01-01T00:00:00Z"], &[0]),
            ("the last two", "last=2", "UTC",
                &["2026-01-03T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"], &[0, 1]),
            ("fewer snapshots than the policy keeps", "last=9", "UTC",
                &["2026-01-03T00:00:00Z", "2026-01-02T00:00:00Z"], &[0, 1]),
            ("retention 0 keeps all", "last=0", "UTC",
                &["2026-01-03T00:00:00Z", "2026-01-02T00:00:00Z"], &[0, 1]),
            ("the newest of each hour", "hourly=2", "UTC",
                &["2026-01-01T10:59:59Z", "2026-01-01T10:00:00Z", "2026-01-01T09:59:59Z", "2026-01-01T08:00:00Z"], &[0, 2]),
            ("an hour without a snapshot does not count", "hourly=2", "UTC",
                &["2026-01-01T10:00:00Z", "2026-01-01T01:00:00Z", "2026-01-01T00:00:00Z"], &[0, 1]),
            ("the newest of each day", "daily=2", "UTC",
                &["2026-01-02T23:59:59Z", "2026-01-02T00:00:00Z", "2026-01-01T23:59:59Z", "2025-12-31T12:00:00Z"], &[0, 2]),
            ("a day is a day of the time zone", "daily=2", "Asia/Tokyo",
                &["2026-01-02T15:00:00Z", "2026-01-02T14:59:59Z", "2026-01-01T15:00:00Z"], &[0, 1]),
            ("the day of 25 hours is one day", "daily=2", BERLIN,
                &["2026-10-25T22:59:59Z", "2026-10-24T22:00:00Z", "2026-10-24T21:59:59Z"], &[0, 2]),
            ("the day of 23 hours is one day", "daily=2", BERLIN,
                &["2026-03-29T21:59:59Z", "2026-03-28T23:00:00Z", "2026-03-28T22:59:59Z"], &[0, 2]),
            ("the repeated hour at the end of summer time is two hours", "hourly=3", BERLIN,
                &["2026-10-25T01:30:00Z", "2026-10-25T00:50:00Z", "2026-10-25T00:10:00Z", "2026-10-24T23:30:00Z"], &[0, 1, 3]),
            ("the skipped hour at the start of summer time does not count", "hourly=2", BERLIN,
                &["2026-03-29T01:30:00Z", "2026-03-29T00:30:00Z"], &[0, 1]),
            ("a time zone with half hours", "hourly=2", "Asia/Kolkata",
                &["2026-01-01T00:45:00Z", "2026-01-01T00:31:00Z", "2026-01-01T00:29:00Z"], &[0, 2]),
            ("a week begins on Monday", "weekly=2", "UTC",
                &["2026-11-23T00:00:00Z", "2026-11-22T23:59:59Z", "2026-11-16T00:00:00Z", "2026-11-15T23:59:59Z"], &[0, 1]),
            ("week 53 spans the new year", "weekly=2", "UTC",
                &["2021-01-03T12:00:00Z", "2020-12-28T00:00:00Z", "2020-12-27T23:59:59Z"], &[0, 2]),
            ("week 1 starts in the old year", "weekly=2", "UTC",
                &["2025-01-02T00:00:00Z", "2024-12-30T00:00:00Z", "2024-12-29T00:00:00Z"], &[0, 2]),
            ("the end of a month", "monthly=2", "UTC",
                &["2026-03-01T00:00:00Z", "2026-02-28T23:59:59Z", "2026-02-01T00:00:00Z", "2026-01-31T23:59:59Z"], &[0, 1]),
            ("the leap day is in February", "monthly=2", "UTC",
                &["2028-03-01T00:00:00Z", "2028-02-29T12:00:00Z", "2028-02-28T12:00:00Z"], &[0, 1]),
            ("the leap day is a day", "daily=3", "UTC",
                &["2028-03-01T12:00:00Z", "2028-02-29T12:00:00Z", "2028-02-28T12:00:00Z"], &[0, 1, 2]),
            ("the same month of another year is another month", "monthly=2", "UTC",
                &["2026-05-01T00:00:00Z", "2025-05-01T00:00:00Z"], &[0, 1]),
            ("the newest of each year", "yearly=2", "UTC",
                &["2026-01-01T00:00:00Z", "2025-12-31T23:59:59Z", "2025-01-01T00:00:00Z", "2024-06-01T00:00:00Z"], &[0, 1]),
            ("a year is a year of the time zone", "yearly=2", BERLIN,
                &["2025-12-31T23:00:00Z", "2025-12-31T22:59:59Z"], &[0, 1]),
            ("within counts from the newest and includes its end", "within=3600", "UTC",
                &["2026-01-01T10:00:00Z", "2026-01-01T09:00:00Z", "2026-01-01T08:59:59Z"], &[0, 1]),
            ("within alone keeps the newest, whatever its age", "within=1", "UTC",
                &["1999-01-01T00:00:00Z", "1998-01-01T00:00:00Z"], &[0]),
            ("the rules add up", "last=1 daily=2 yearly=2", "UTC",
                &["2026-01-02T10:00:00Z", "2026-01-02T09:00:00Z", "2026-01-01T10:00:00Z", "2025-07-01T00:00:00Z", "2025-06-01T00:00:00Z"], &[0, 2, 3]),
        ];
        for (what, words, zone, times, want) in rows {
            let want: Vec<String> = want.iter().map(|i| times[*i].to_owned()).collect();
            assert_eq!(kept(words, zone, times), want, "{what}");
        }
    }

    #[test]
    fn a_policy_without_rules_is_empty_and_keep_last_0_is_a_rule() {
        for (words, empty) in [
            ("daily=0", true),
            ("daily=0 weekly=0", true),
            ("last=0", false),
            ("yearly=1", false),
            ("within=1", false),
        ] {
            assert_eq!(policy(words, "UTC").is_empty(), empty, "{words}");
        }
        assert!(Policy::none(TimeZone::UTC).is_empty());
    }

    #[test]
    fn times_beyond_the_calendar_do_not_panic() {
        assert_eq!(policy("daily=1 yearly=1", BERLIN).apply(&[u64::MAX, u64::MAX - 1, 0]).len(), 3);
    }
}

// SPDX-License-Identifier: Apache-2.0
//! Converts the schedule of K3s to `OnCalendar=` of systemd. A schedule that has no exact equivalent is refused.
//!
//! The five fields are read as K3s (robfig/cron) reads them: with ranges, steps, lists and names. A start with a step runs to
//! the end of the field. If neither the day of the month nor the day of the week is a star, either of them is enough.

use std::collections::BTreeSet;

/// When to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    /// The values of `OnCalendar=`; each of them starts runs.
    pub specs: Vec<String>,
    /// The shortest time between two runs, in minutes; at most 60.
    pub min_interval: u32,
}

/// One field: its name, its first and last value, and names for its values.
struct Field {
    name: &'static str,
    first: u32,
    last: u32,
    names: &'static [&'static str],
}

const MINUTE: Field = Field { name: "minute", first: 0, last: 59, names: &[] };
const HOUR: Field = Field { name: "hour", first: 0, last: 23, names: &[] };
const DAY: Field = Field { name: "day of the month", first: 1, last: 31, names: &[] };
const MONTH: Field = Field {
    name: "month",
    first: 1,
    last: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
const WEEKDAY: Field = Field {
    name: "day of the week",
    first: 0,
    last: 6,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
};
/// The names of systemd in its order: its ranges run from Monday to Sunday.
const WEEK: [(u32, &str); 7] =
    [(1, "Mon"), (2, "Tue"), (3, "Wed"), (4, "Thu"), (5, "Fri"), (6, "Sat"), (0, "Sun")];

/// The values that a field allows.
struct Allowed {
    values: BTreeSet<u32>,
    /// Whether they are all values of the field.
    all: bool,
    /// Whether the field is a star.
    star: bool,
}

/// Converts a schedule. `is_zone` tells whether systemd knows a time zone of this name.
///
/// # Errors
/// The reason why there is no equivalent, as the end of a sentence that begins with the schedule.
pub fn from_cron(cron: &str, is_zone: &dyn Fn(&str) -> bool) -> Result<Calendar, String> {
    let (zone, schedule) = split_zone(cron.trim(), is_zone)?;
    let spelled = match schedule {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        other if other.starts_with("@every") => {
            return Err("counts from the start of K3s and not by the clock".to_owned());
        }
        other => other,
    };
    let fields: Vec<&str> = spelled.split_whitespace().collect();
    let [minute, hour, day, month, weekday] = fields[..] else {
        return Err(format!("has {} fields instead of 5", fields.len()));
    };
    let (minute, hour) = (allowed(minute, &MINUTE)?, allowed(hour, &HOUR)?);
    let (day, month, weekday) = (allowed(day, &DAY)?, allowed(month, &MONTH)?, allowed(weekday, &WEEKDAY)?);
    let time = format!("{}:{}:00{zone}", format_field(&hour, &HOUR), format_field(&minute, &MINUTE));
    let on = |days: &str| format!("*-{}-{days} {time}", format_field(&month, &MONTH));
    let by_date = on(&format_field(&day, &DAY));
    let by_week = format!("{} {}", week(&weekday.values), on("*"));
    let specs = if day.star && weekday.star {
        vec![on("*")]
    } else if day.star {
        vec![if weekday.all { on("*") } else { by_week }]
    } else if weekday.star {
        if !date_exists(&day.values, &month.values) {
            return Err("has a day that none of its months has".to_owned());
        }
        vec![by_date]
    } else if day.all || weekday.all {
        vec![on("*")]
    } else {
        vec![by_week, by_date]
    };
    Ok(Calendar { specs, min_interval: min_interval(&minute.values) })
}

/// The time zone of a schedule as the end of a value of `OnCalendar=`, and the schedule without it.
fn split_zone<'a>(cron: &'a str, is_zone: &dyn Fn(&str) -> bool) -> Result<(String, &'a str), String> {
    let Some(rest) = cron.strip_prefix("TZ=").or_else(|| cron.strip_prefix("CRON_TZ=")) else {
        return Ok((String::new(), cron));
    };
    let Some((zone, schedule)) = rest.split_once(' ') else {
        return Err("has a time zone and no fields".to_owned());
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/_+-".contains(c);
    match zone {
        "Local" => Ok((String::new(), schedule.trim())),
        "" | "UTC" => Ok((" UTC".to_owned(), schedule.trim())),
        zone if zone.chars().all(is_plain) && is_zone(zone) => Ok((format!(" {zone}"), schedule.trim())),
        _ => Err("has a time zone that this machine does not know".to_owned()),
    }
}

fn allowed(text: &str, field: &Field) -> Result<Allowed, String> {
    let mut values = BTreeSet::new();
    let mut star = false;
    for part in text.split(',') {
        let (from, to, step, any) =
            parsed(part, field).ok_or_else(|| format!("has a {} that cannot be read", field.name))?;
        star |= any && step == 1;
        values.extend((from..=to).step_by(step));
    }
    let all = (field.first..=field.last).all(|n| values.contains(&n));
    Ok(Allowed { values, all, star })
}

/// First value, last value, step, and whether the part is a star.
fn parsed(part: &str, field: &Field) -> Option<(u32, u32, usize, bool)> {
    let (range, step) = match part.split_once('/') {
        Some((range, step)) => (range, Some(step.parse::<usize>().ok().filter(|step| *step > 0)?)),
        None => (part, None),
    };
    let (from, to, star) = match range.split_once('-') {
        _ if ["*", "?"].contains(&range) => (field.first, field.last, true),
        Some((from, to)) => (value(from, field)?, value(to, field)?, false),
        None if step.is_some() => (value(range, field)?, field.last, false),
        None => (value(range, field)?, value(range, field)?, false),
    };
    (from <= to).then_some((from, to, step.unwrap_or(1), star))
}

fn value(text: &str, field: &Field) -> Option<u32> {
    let number = match (field.first..).zip(field.names).find(|(_, name)| name.eq_ignore_ascii_case(text)) {
        Some((number, _)) => number,
        None if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok()?,
        None => return None,
    };
    (field.first..=field.last).contains(&number).then_some(number)
}

/// A field in the syntax of systemd: a star, a start with a step to the end, or a list with ranges.
fn format_field(allowed: &Allowed, field: &Field) -> String {
    if allowed.all {
        return "*".to_owned();
    }
    let list: Vec<u32> = allowed.values.iter().copied().collect();
    if let [first, second, .., last] = list[..] {
        let step = second - first;
        let even = list.windows(2).all(|pair| matches!(pair, [a, b] if b - a == step));
        if even && step > 1 && last + step > field.last {
            return format!("{first:02}/{step}");
        }
    }
    joined(&list, |n| format!("{n:02}"))
}

fn week(days: &BTreeSet<u32>) -> String {
    let list: Vec<u32> =
        (0..).zip(WEEK).filter(|(_, (day, _))| days.contains(day)).map(|(at, _)| at).collect();
    joined(&list, |at| (0..).zip(WEEK).find(|(i, _)| *i == at).map_or("", |(_, (_, name))| name).to_owned())
}

/// A list in which three or more values that follow one another are a range.
fn joined(list: &[u32], word: impl Fn(u32) -> String) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for n in list {
        match runs.last_mut() {
            Some((_, to)) if *to + 1 == *n => *to = *n,
            _ => runs.push((*n, *n)),
        }
    }
    let run = |(from, to): &(u32, u32)| match to - from {
        0 => word(*from),
        1 => format!("{},{}", word(*from), word(*to)),
        _ => format!("{}..{}", word(*from), word(*to)),
    };
    runs.iter().map(run).collect::<Vec<_>>().join(",")
}

/// Whether one of these months has one of these days, at least in a leap year.
fn date_exists(days: &BTreeSet<u32>, months: &BTreeSet<u32>) -> bool {
    let last = |month: &u32| match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    months.iter().any(|month| days.first().is_some_and(|day| *day <= last(month)))
}

/// The shortest time from one of these minutes to the next one, in minutes, across the full hour too.
fn min_interval(minutes: &BTreeSet<u32>) -> u32 {
    let next = minutes.iter().skip(1).copied().chain(minutes.first().map(|first| first + 60));
    minutes.iter().zip(next).map(|(a, b)| b - a).min().unwrap_or(60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_zone(name: &str) -> bool {
        name == "Asia/Tokyo" || name.contains("..")
    }

    #[test]
    fn schedules_have_their_calendar() {
        for (cron, specs, min_interval) in [
            ("0 */12 * * *", &["*-*-* 00,12:00:00"][..], 60),
            ("0 */6 * * *", &["*-*-* 00/6:00:00"], 60),
            ("30 2 * * *", &["*-*-* 02:30:00"], 60),
            ("*/15 * * * *", &["*-*-* *:00/15:00"], 15),
            ("7/20 * * * *", &["*-*-* *:07/20:00"], 20),
            ("0,1,2,30 4 * * *", &["*-*-* 04:00..02,30:00"], 1),
            ("58,3 * * * *", &["*-*-* *:03,58:00"], 5),
            ("0 9-17 * * mon-FRI", &["Mon..Fri *-*-* 09..17:00:00"], 60),
            ("0 9-17/3 * * *", &["*-*-* 09,12,15:00:00"], 60),
            ("0 0 * * 0", &["Sun *-*-* 00:00:00"], 60),
            ("0 0 * * 0,6", &["Sat,Sun *-*-* 00:00:00"], 60),
            ("0 0 1,15 * *", &["*-*-01,15 00:00:00"], 60),
            ("0 0 */2 * *", &["*-*-01/2 00:00:00"], 60),
            ("0 0 29 2 *", &["*-02-29 00:00:00"], 60),
            ("0 0 31 jan,feb *", &["*-01,02-31 00:00:00"], 60),
            ("? ? ? ? ?", &["*-*-* *:*:00"], 1),
            ("CRON_TZ=Asia/Tokyo 0 3 * * *", &["*-*-* 03:00:00 Asia/Tokyo"], 60),
            (
                "TZ=Asia/Tokyo  0 0 13 * 5",
                &["Fri *-*-* 00:00:00 Asia/Tokyo", "*-*-13 00:00:00 Asia/Tokyo"],
                60,
            ),
            ("TZ=UTC @daily", &["*-*-* 00:00:00 UTC"], 60),
            ("TZ= @hourly", &["*-*-* *:00:00 UTC"], 60),
            ("CRON_TZ=Local 0 3 * * *", &["*-*-* 03:00:00"], 60),
            // Either of the two days is enough, except if one is a star; a star with a step is none.
            ("0 0 13 * 5", &["Fri *-*-* 00:00:00", "*-*-13 00:00:00"], 60),
            ("0 0 */2 * 5", &["Fri *-*-* 00:00:00", "*-*-01/2 00:00:00"], 60),
            ("0 0 1-31 * 5", &["*-*-* 00:00:00"], 60),
            ("0 0 31 2 5", &["Fri *-02-* 00:00:00", "*-02-31 00:00:00"], 60),
            ("0 0 * * 0-6", &["*-*-* 00:00:00"], 60),
            ("@daily", &["*-*-* 00:00:00"], 60),
            ("@weekly", &["Sun *-*-* 00:00:00"], 60),
            ("@hourly", &["*-*-* *:00:00"], 60),
            ("@yearly", &["*-01-01 00:00:00"], 60),
        ] {
            let want = Calendar { specs: specs.iter().map(|s| (*s).to_owned()).collect(), min_interval };
            assert_eq!(from_cron(cron, &is_zone), Ok(want), "{cron}");
        }
    }

    #[test]
    fn a_schedule_without_an_exact_calendar_is_refused_with_the_reason() {
        for (cron, why) in [
            ("@every 6h", "from the start"),
            ("CRON_TZ=Mars/Olympus 0 3 * * *", "time zone"),
            ("TZ=../etc/passwd 0 3 * * *", "time zone"),
            ("CRON_TZ=Asia/Tokyo", "no fields"),
            ("@reboot", "1 fields"),
            ("0 /6 * * *", "hour"),
            ("60 * * * *", "minute"),
            ("0 0 0 * *", "day of the month"),
            ("0 0 * 13 *", "month"),
            ("0 0 * * 7", "day of the week"),
            ("0 0 * * mon-sun", "day of the week"),
            ("0 5-3 * * *", "hour"),
            ("*/0 * * * *", "minute"),
            ("0 0 30 2 *", "none of its months"),
            ("0 0 * * * *", "6 fields"),
            ("", "0 fields"),
            ("- - - - -", "minute"),
            ("é * * * *", "minute"),
            ("99999999999 * * * *", "minute"),
            ("*/99999999999999999999999 * * * *", "minute"),
        ] {
            let reason = from_cron(cron, &is_zone).unwrap_err();
            assert!(reason.contains(why), "{cron}: {reason}");
        }
    }
}

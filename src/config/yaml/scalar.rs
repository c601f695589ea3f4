// SPDX-License-Identifier: Apache-2.0
//! What a scalar without quotes means in gopkg.in/yaml.v2, which reads YAML 1.1: `yes` is true, `0755` is 493, `1e400` is a
//! text because no float holds it. Numbers become the text that Go prints: 123456789.5 is `1.234567895e+08`.

use super::value::YamlValue;

/// The meaning of a scalar without quotes and without a tag.
pub(super) fn resolve(written: &str) -> YamlValue {
    let typed = |printed: String| YamlValue::Typed { printed, written: written.to_owned() };
    if matches!(written, "" | "~" | "null" | "Null" | "NULL") {
        return YamlValue::Null;
    }
    if let Some(word) =
        boolean(written).map(|b| b.to_string()).or_else(|| not_finite(written).map(str::to_owned))
    {
        return typed(word);
    }
    number(written).map_or_else(|| YamlValue::Text(written.to_owned()), |n| typed(n.print()))
}

/// The meaning of a scalar with one of the tags of YAML; `None` if the scalar cannot have the tag.
pub(super) fn resolve_as(tag: &str, written: &str) -> Option<YamlValue> {
    let plain = resolve(written);
    let fits = match (tag, &plain) {
        ("null", YamlValue::Null) => true,
        ("bool", YamlValue::Typed { printed, .. }) => printed == "true" || printed == "false",
        ("int", _) => matches!(number(written), Some(Number::Int(_))),
        ("float", _) => {
            return match (number(written), not_finite(written)) {
                (Some(n), _) => {
                    Some(YamlValue::Typed { printed: go_float(n.value()), written: written.to_owned() })
                }
                (None, Some(_)) => Some(plain),
                (None, None) => None,
            };
        }
        _ => false,
    };
    fits.then_some(plain)
}

fn boolean(word: &str) -> Option<bool> {
    match word {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

fn not_finite(word: &str) -> Option<&'static str> {
    match word {
        ".nan" | ".NaN" | ".NAN" => Some("NaN"),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Some("+Inf"),
        "-.inf" | "-.Inf" | "-.INF" => Some("-Inf"),
        _ => None,
    }
}

/// A number of a file.
enum Number {
    Int(i128),
    Float(f64),
}

impl Number {
    fn print(&self) -> String {
        match self {
            Number::Int(n) => n.to_string(),
            Number::Float(f) => go_float(*f),
        }
    }

    fn value(&self) -> f64 {
        match self {
            // As Go converts: to the nearest float.
            #[expect(clippy::cast_precision_loss, reason = "that is what a float of this number is")]
            Number::Int(n) => *n as f64,
            Number::Float(f) => *f,
        }
    }
}

fn number(written: &str) -> Option<Number> {
    match written.bytes().next()? {
        b'.' => float(&without_underscores(written)?).map(Number::Float),
        b'0'..=b'9' | b'+' | b'-' => {
            let digits = written.replace('_', "");
            go_int(&digits).map(Number::Int).or_else(|| float(&digits).map(Number::Float)).or_else(|| {
                // yaml.v2 reads `0b-11`, too.
                let rest = digits.strip_prefix("0b")?;
                i64::from_str_radix(rest, 2).ok().map(|n| Number::Int(n.into()))
            })
        }
        _ => None,
    }
}

/// The text without underscores; `None` unless each is between two digits, as Go requires in a float.
fn without_underscores(text: &str) -> Option<String> {
    let is_digit = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
    let mut all = text.match_indices('_').map(|(at, _)| at);
    all.all(|at| at > 0 && is_digit(at - 1) && is_digit(at + 1)).then(|| text.replace('_', ""))
}

/// `strconv.ParseInt` and `strconv.ParseUint` of Go with base 0 and 64 bits.
pub(crate) fn go_int(text: &str) -> Option<i128> {
    let (negative, unsigned) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (Some(text.starts_with('-')), rest),
        None => (None, text),
    };
    let lower = unsigned.to_ascii_lowercase();
    let (digits, radix) = match lower.as_bytes() {
        [b'0', b'x', ..] => (lower.get(2..)?, 16),
        [b'0', b'b', ..] => (lower.get(2..)?, 2),
        [b'0', b'o', ..] => (lower.get(2..)?, 8),
        [b'0', _, ..] => (lower.get(1..)?, 8),
        _ => (lower.as_str(), 10),
    };
    if !digits.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None; // no second sign
    }
    let value = i128::from_str_radix(digits, radix).ok()?;
    match negative {
        Some(true) => Some(-value).filter(|n| *n >= i64::MIN.into()),
        Some(false) => Some(value).filter(|n| *n <= i64::MAX.into()),
        None => Some(value).filter(|n| *n <= u64::MAX.into()),
    }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`, unless it is too large for a float.
fn float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let all_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').map_or((mantissa, None), |(w, f)| (w, Some(f)));
    let has_digits = !whole.is_empty() || fraction.is_some_and(|f| !f.is_empty());
    let exponent_fits = exponent.is_none_or(|e| {
        let digits = e.strip_prefix(['+', '-']).unwrap_or(e);
        !digits.is_empty() && all_digits(digits)
    });
    if !has_digits || !all_digits(whole) || !fraction.is_none_or(all_digits) || !exponent_fits {
        return None;
    }
    text.parse::<f64>().ok().filter(|f| f.is_finite())
}

/// A float as `fmt.Sprint` of Go prints it: the shortest digits that mean it, with an exponent of at least two digits if the
/// exponent is below -4 or above 5.
fn go_float(value: f64) -> String {
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return value.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_printed_as_go_prints_them() {
        for (value, want) in [
            (1.0, "1"),
            (-0.0, "-0"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (100_000.5, "100000.5"),
            (999_999.0, "999999"),
            (1_000_000.0, "1e+06"),
            (123_456_789.5, "1.234567895e+08"),
            (1e100, "1e+100"),
            (4.1234567890123e23, "4.1234567890123e+23"),
        ] {
            assert_eq!(go_float(value), want);
        }
    }

    #[test]
    fn integers_are_those_of_go_with_base_0() {
        for (text, want) in [
            ("0", Some(0)),
            ("0755", Some(493)),
            ("0x1F", Some(31)),
            ("-0b11", Some(-3)),
            ("0O17", Some(15)),
            ("18446744073709551615", Some(u64::MAX.into())),
            ("+9223372036854775808", None),
            ("-9223372036854775808", Some(i64::MIN.into())),
            ("18446744073709551616", None),
            ("08", None),
            ("0x", None),
            ("--1", None),
            ("+-1", None),
            ("", None),
        ] {
            assert_eq!(go_int(text), want, "{text}");
        }
    }
}

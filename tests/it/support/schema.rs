// SPDX-License-Identifier: Apache-2.0
//! A validator for docs/report.schema.json. It knows the keywords of JSON Schema (draft 2020-12) and the patterns that this
//! schema uses, and panics at any other, so that no rule is ignored by mistake.

use std::sync::LazyLock;

use serde_json::{Map, Value};

/// The schema of the report.
pub(crate) static REPORT: LazyLock<Value> = LazyLock::new(|| {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/report.schema.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
});

/// Panics unless this is a report as the schema describes it.
#[track_caller]
pub(crate) fn validate(report: &Value) {
    let errors = errors(&REPORT, report);
    assert!(errors.is_empty(), "docs/report.schema.json: {errors:#?} in {report:#}");
}

/// Where the value contradicts the schema, and why.
pub(crate) fn errors(schema: &Value, value: &Value) -> Vec<String> {
    Validator { root: schema }.check(schema, value, "")
}

/// The subschema that a `$ref` of `root` names.
pub(crate) fn resolve<'a>(root: &'a Value, reference: &Value) -> &'a Value {
    let name = reference.as_str().and_then(|r| r.strip_prefix("#/$defs/")).expect("a reference into $defs");
    root["$defs"].get(name).unwrap_or_else(|| panic!("no definition '{name}'"))
}

struct Validator<'a> {
    root: &'a Value,
}

impl Validator<'_> {
    fn check(&self, schema: &Value, value: &Value, at: &str) -> Vec<String> {
        let rules = schema.as_object().expect("a schema is an object");
        rules.iter().flat_map(|(keyword, rule)| self.rule(rules, keyword, rule, value, at)).collect()
    }

    fn rule(
        &self,
        rules: &Map<String, Value>,
        keyword: &str,
        rule: &Value,
        value: &Value,
        at: &str,
    ) -> Vec<String> {
        let fits = match keyword {
            "$schema" | "$defs" | "title" | "description" => true,
            "$ref" => return self.check(resolve(self.root, rule), value, at),
            "anyOf" => list(rule).iter().any(|option| self.check(option, value, at).is_empty()),
            "const" => value == rule,
            "enum" => list(rule).contains(value),
            "type" if rule.is_array() => list(rule).iter().any(|name| is(value, name)),
            "type" => is(value, rule),
            "minimum" => value.as_i64().is_none_or(|n| Some(n) >= rule.as_i64()),
            "minLength" => value.as_str().is_none_or(|s| Some(s.chars().count() as u64) >= rule.as_u64()),
            "minItems" => value.as_array().is_none_or(|a| Some(a.len() as u64) >= rule.as_u64()),
            "pattern" => value.as_str().is_none_or(|s| matches(rule.as_str().unwrap(), s)),
            "required" => {
                let lacks = |name: &&Value| value.get(name.as_str().unwrap()).is_none();
                let missing: Vec<&Value> = list(rule).iter().filter(lacks).collect();
                return missing.iter().map(|name| format!("{at}: lacks {name}")).collect();
            }
            "items" => {
                let items = value.as_array().into_iter().flatten().enumerate();
                return items.flat_map(|(i, item)| self.check(rule, item, &format!("{at}/{i}"))).collect();
            }
            "properties" => {
                let fields = value.as_object().into_iter().flatten();
                let known = fields.filter_map(|(name, field)| Some((name, rule.get(name)?, field)));
                return known
                    .flat_map(|(n, rule, field)| self.check(rule, field, &format!("{at}/{n}")))
                    .collect();
            }
            "additionalProperties" => {
                assert_eq!(rule, false, "only false is supported");
                let unknown = |name: &&String| rules["properties"].get(name.as_str()).is_none();
                let fields = value.as_object().into_iter().flat_map(Map::keys);
                return fields.filter(unknown).map(|name| format!("{at}: unknown field {name}")).collect();
            }
            other => panic!("unknown keyword '{other}'"),
        };
        if fits { vec![] } else { vec![format!("{at}: {value} contradicts {keyword} {rule}")] }
    }
}

fn list(rule: &Value) -> &[Value] {
    rule.as_array().expect("a list")
}

fn is(value: &Value, name: &Value) -> bool {
    match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("unknown type '{other}'"),
    }
}

/// The patterns of the schema, by hand: a crate for regular expressions would be a dependency for five lines.
fn matches(pattern: &str, text: &str) -> bool {
    let hex = |length: usize| {
        text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    match pattern {
        "^[a-z0-9]+(-[a-z0-9]+)*$" => text.split('-').all(|part| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
        }),
        "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$" => {
            let form = |b: u8| if b.is_ascii_digit() { '0' } else { b as char };
            text.bytes().map(form).collect::<String>() == "0000-00-00T00:00:00Z"
        }
        "^[0-9a-f]{12}$" => hex(12),
        "^[0-9a-f]{64}$" => hex(64),
        "^(file|s3)://" => text.starts_with("file://") || text.starts_with("s3://"),
        other => panic!("unknown pattern '{other}'"),
    }
}

// SPDX-License-Identifier: Apache-2.0
//! The recipients of recovery kits. A public key that cannot be used is refused here, and not at the disaster.

use std::collections::BTreeSet;

use anyhow::Result;

use super::layer::Layer;
use super::options::OptionId;
use crate::archive::age::Recipients;
use crate::error::{Code, Fault};

/// The public keys of the option `kit-recipients`, without comments, sorted.
///
/// # Errors
/// If one of them cannot be used. The error has no value of the option: a private key may be in the wrong place.
pub(super) fn recipients(merged: &Layer) -> Result<Vec<String>> {
    let Some(entry) = merged.get(OptionId::KitRecipients) else { return Ok(vec![]) };
    let keys = entry.values.iter().flat_map(|value| value.split([',', '\n'])).map(str::trim);
    let keys: BTreeSet<String> = keys.filter(|key| !key.is_empty()).map(without_comment).collect();
    let keys: Vec<String> = keys.into_iter().collect();
    if let Err(why) = Recipients::parse(&keys) {
        let (name, origin) = (OptionId::KitRecipients.name(), &entry.origin);
        return Err(Fault::new(Code::InvalidSetting, format!("option '{name}' ({origin}): {why}"))
            .of_kind(origin.error_kind())
            .hint("Make a pair of keys with 'k3s-snapshot kit init', or give the line of a file like id_ed25519.pub.")
            .into());
    }
    Ok(keys)
}

/// A key of SSH may be followed by a comment.
fn without_comment(key: &str) -> String {
    match key.starts_with("ssh-") {
        true => key.split_whitespace().take(2).collect::<Vec<_>>().join(" "),
        false => key.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::age::generate;
    use crate::config::layer::Origin;
    use crate::error::{Kind, code_of, kind_of};

    const SSH: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN";

    fn of(values: &[&str]) -> Result<Vec<String>> {
        let mut layer = Layer::default();
        let values = values.iter().map(|v| (*v).to_owned()).collect();
        layer.set(OptionId::KitRecipients, values, Origin::File("/c".to_owned(), 1));
        recipients(&layer)
    }

    #[test]
    fn keys_lose_their_comment_and_are_sorted() {
        let (_, age) = generate();
        let commented = format!("{SSH} alice@laptop");
        assert_eq!(of(&[&commented, &age]).unwrap(), [age.as_str(), SSH]);
        assert_eq!(of(&[&format!("{SSH},\n {age} "), SSH]).unwrap(), [age.as_str(), SSH]);
        assert_eq!(of(&[""]).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_key_that_cannot_be_used_is_refused_and_a_private_key_is_not_shown() {
        let (private, _) = generate();
        for value in ["age1x", "ssh-dss AAAA", private.expose(), &format!("{SSH},laptop")] {
            let error = of(&[value]).unwrap_err();
            assert_eq!((code_of(&error), kind_of(&error)), (Code::InvalidSetting, Kind::Config), "{value}");
            assert!(!format!("{error:#}").contains(&private.expose()[20..]));
        }
    }
}

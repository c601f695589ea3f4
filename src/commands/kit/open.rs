// SPDX-License-Identifier: Apache-2.0
//! Opens a kit, in memory.

use anyhow::Result;

use crate::archive::age::{Identities, OpenError};
use crate::error::{Code, Fault};
use crate::model::kit::{KIT_VERSION, Kit, ParseError};

/// Opens a sealed kit.
///
/// # Errors
/// [`Code::KitNotOpened`] if it was sealed for other recipients, [`Code::KitInvalid`] if it is corrupt.
pub(crate) fn open_kit(sealed: &[u8], name: &str, identities: &Identities) -> Result<Kit> {
    let shown = name.escape_debug();
    let invalid = |why: String| Fault::new(Code::KitInvalid, format!("the recovery kit '{shown}' {why}"));
    let text = identities.open(sealed).map_err(|e| match e {
        OpenError::OtherRecipients => {
            let what = format!("the identity does not open the recovery kit '{shown}'");
            Fault::new(Code::KitNotOpened, what).hint(
                "Use the identity of one of the public keys in 'kit-recipients' at the time of the save.",
            )
        }
        OpenError::Corrupt => invalid("is corrupt, or no age file".to_owned())
            .hint("Use a copy of it from another place, or the kit of another snapshot."),
    })?;
    Kit::parse(&text).map_err(|e| {
        match e {
            ParseError::NoKit => invalid("does not hold what a kit holds".to_owned()),
            ParseError::Newer(version) => {
                invalid(format!("has the version {version} of its format, this program reads {KIT_VERSION}"))
                    .hint("Use the version of k3s-snapshot that made the kit, or a later one.")
            }
        }
        .into()
    })
}

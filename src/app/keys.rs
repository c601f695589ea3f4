// SPDX-License-Identifier: Apache-2.0
//! The keys of all server tokens that this machine knows, to authenticate snapshots. A token that cannot be read is no error
//! here: a snapshot is then saved without a code, or its code is not checked.

use super::context::Context;
use crate::distribution;
use crate::model::authenticity::Keyring;
use crate::model::secret::Secret;

impl Context<'_> {
    /// The keys of the token in `--token-file`, of the token in the configuration of K3s, and of the one that K3s keeps in its
    /// data directory, which differ after a rotation.
    pub(super) fn keyring(&self) -> Keyring {
        let s = self.settings;
        let mut tokens = Vec::new();
        for path in [s.token_file.clone(), s.data_dir.join(distribution::TOKEN)] {
            match std::fs::read_to_string(&path) {
                Ok(text) => tokens.push(Secret::new(text)),
                Err(e) => log::debug!("no key from the token file '{}': {e}", path.display()),
            }
        }
        // After the file that was named, before the one that K3s keeps.
        if let Some(configured) = &s.token {
            tokens.insert(tokens.len().min(1), configured.clone());
        }
        Keyring::new(&tokens)
    }
}

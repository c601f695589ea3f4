// SPDX-License-Identifier: Apache-2.0
//! The command lines of all verbs, one file each. No logic: what a flag means is decided where settings are.
//!
//! An argument whose id is a row of `config/key.rs` (with `_` for `-`) goes the way of every setting.

use clap::CommandFactory;

mod delete;
mod list;
mod options;
mod prune;
mod restore;
mod save;
mod verify;

pub use delete::Delete;
pub use list::{List, Output};
pub use options::{Common, ReportFormat, S3};
pub use prune::Prune;
pub use restore::Restore;
pub use save::Save;
pub use verify::Verify;

/// The command lines of all verbs, for tests of the documents.
pub fn commands() -> Vec<clap::Command> {
    vec![
        Save::command(),
        List::command(),
        Verify::command(),
        Prune::command(),
        Delete::command(),
        Restore::command(),
    ]
}

#[cfg(test)]
mod tests {
    use crate::config::options;

    #[test]
    fn the_command_lines_are_sound() {
        super::commands().into_iter().for_each(clap::Command::debug_assert);
    }

    #[test]
    fn every_setting_of_ours_has_a_flag_of_the_same_name_and_aliases() {
        for key in options::OPTIONS.iter().filter(|k| k.ours) {
            let found = super::commands().iter().any(|c| {
                c.get_arguments().any(|a| {
                    let mut names = a.get_all_aliases().unwrap_or_default();
                    names.extend(a.get_long());
                    names.contains(&key.name) && key.aliases.iter().all(|k| names.contains(k))
                })
            });
            assert!(found, "no verb has --{} with its aliases", key.name);
        }
    }
}

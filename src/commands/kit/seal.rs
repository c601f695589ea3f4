// SPDX-License-Identifier: Apache-2.0
//! Seals the kit of a save, if its content or its recipients have changed since the last one. A kit that cannot be sealed is an
//! error in the report, and never loses the snapshot.

use anyhow::{Context as _, Result};

use crate::archive::age::Recipients;
use crate::error::{Code, Fault, hint_of};
use crate::inspect::{AddressKind, Facts, Node};
use crate::model::kit::{Kit, KitFacts, KitName, KitVersions, SealedKit};
use crate::model::report::Report;
use crate::store::{KitStore, LocalKits};

/// How kits are sealed on this machine.
pub(crate) struct Sealer<'a> {
    /// The content of a kit of this server, with what the snapshot tells.
    pub(crate) content: &'a dyn Fn(KitFacts) -> Result<Kit>,
    /// The public keys that it is sealed for.
    pub(crate) recipients: &'a [String],
    /// Where kits are kept.
    pub(crate) store: &'a LocalKits,
}

/// What is known of this server when a snapshot of it is verified.
#[derive(Clone, Copy, Default)]
pub(in crate::commands) struct ServerFacts<'a> {
    /// This node, as the cluster knows it.
    pub(in crate::commands) node: Option<&'a Node>,
    /// The version of K3s.
    pub(in crate::commands) k3s: Option<&'a str>,
    /// The version of etcd.
    pub(in crate::commands) etcd: Option<&'a str>,
}

/// What the kit says of the server and its snapshot.
fn kit_facts(facts: &Facts, server: ServerFacts<'_>) -> KitFacts {
    let is_address = |kind| matches!(kind, AddressKind::InternalIp | AddressKind::ExternalIp);
    let addresses = server.node.into_iter().flat_map(|n| &n.addresses).filter(|a| is_address(a.kind));
    KitFacts {
        cluster_id: facts.cluster_id.clone(),
        token_hashes: facts.token_hashes.clone(),
        versions: KitVersions {
            k3s: server.k3s.map(str::to_owned),
            etcd: server.etcd.map(str::to_owned),
            etcd_storage: facts.storage_version.clone(),
        },
        addresses: addresses.map(|a| a.address.clone()).collect(),
    }
}

/// The kit of the snapshot that is saved now. `None` if there is none, which is then in the report.
pub(in crate::commands) fn seal(
    sealer: &Sealer,
    facts: &Facts,
    server: ServerFacts<'_>,
    now: u64,
    report: &mut Report,
) -> Option<String> {
    match kit_in_force(sealer, kit_facts(facts, server), now) {
        Ok(name) => Some(name),
        Err(e) => {
            let fault = Fault::new(Code::KitNotSealed, format!("the snapshot has no recovery kit: {e:#}"));
            let hint = hint_of(&e).unwrap_or("Mend the cause, then save again with 'k3s-snapshot save'.");
            report.fail(&fault.hint(hint).into());
            None
        }
    }
}

fn kit_in_force(sealer: &Sealer, facts: KitFacts, now: u64) -> Result<String> {
    let kit = (sealer.content)(facts)?;
    let content = kit.digest();
    if let Some(sealed) = sealer.store.sealed()?
        && !sealed.is_outdated(content, sealer.recipients)
        && let Some(name) = KitName::parse(&sealed.name)
        && sealer.store.read_kit(&name).unwrap_or_default().is_some()
    {
        return Ok(sealed.name);
    }
    let recipients = Recipients::parse(sealer.recipients)
        .map_err(|why| Fault::new(Code::InvalidSetting, format!("option 'kit-recipients' {why}")))?;
    let sealed = recipients.seal(&kit.to_text()).context("sealing the recovery kit")?;
    let name = KitName::new(&kit.node.name, kit.cluster_id.as_deref(), &sealed);
    sealer.store.write_kit(&name, &sealed)?;
    let name = name.to_string();
    let record =
        SealedKit { name: name.clone(), content, recipients: sealer.recipients.to_vec(), sealed_at: now };
    sealer.store.record_sealed(&record)?;
    log::info!("sealed the recovery kit '{}'", name.escape_debug());
    Ok(name)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::archive::age::{Identities, generate};
    use crate::model::command::Command;
    use crate::model::kit::tests::kit;
    use crate::model::secret::Secret;

    struct World {
        dir: tempfile::TempDir,
        content: RefCell<Kit>,
        recipients: Vec<String>,
    }

    impl World {
        /// The name of the kit of a save, and the code of its error.
        fn save(&self) -> (Option<String>, Option<&'static str>) {
            let sealer = Sealer {
                content: &|_| Ok(self.content.borrow().clone()),
                recipients: &self.recipients,
                store: &LocalKits::new(self.dir.path()),
            };
            let mut report = Report::new(Command::Save, 0);
            let name = seal(&sealer, &Facts::default(), ServerFacts::default(), 1, &mut report);
            (name, report.error.map(|e| e.code))
        }
    }

    fn world() -> (World, Identities) {
        let (key, public) = generate();
        let dir = tempfile::tempdir().unwrap();
        (
            World { dir, content: RefCell::new(kit()), recipients: vec![public] },
            Identities::parse(&key).unwrap(),
        )
    }

    #[test]
    fn a_kit_is_sealed_again_only_if_its_content_or_its_recipients_have_changed() {
        let (mut world, identities) = world();
        let (first, error) = world.save();
        assert_eq!(error, None);
        assert_eq!(world.save().0, first, "nothing has changed");
        world.content.borrow_mut().tokens.server = Secret::new("other");
        let second = world.save().0;
        assert_ne!(second, first, "the token has changed");
        world.recipients.push(generate().1);
        let third = world.save().0;
        assert_ne!(third, second, "the recipients have changed");
        let store = LocalKits::new(world.dir.path());
        assert_eq!(store.kits().unwrap().len(), 3, "older snapshots need the older kits");
        let name = KitName::parse(&third.clone().unwrap()).unwrap();
        let sealed = store.read_kit(&name).unwrap().unwrap();
        let opened = Kit::parse(&identities.open(&sealed).unwrap()).unwrap();
        assert!(opened == *world.content.borrow());
        // A kit that is gone or corrupt is of no use.
        std::fs::write(world.dir.path().join("kits").join(third.clone().unwrap()), "x").unwrap();
        assert_ne!(world.save().0, third);
    }

    #[test]
    fn nothing_on_the_disk_has_the_token() {
        let (world, _) = world();
        world.save();
        let mut files = 0;
        for entry in std::fs::read_dir(world.dir.path().join("kits")).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            assert!(!bytes.windows(6).any(|w| w == b"geheim"));
            files += 1;
        }
        assert_eq!(files, 2);
    }

    #[test]
    fn a_kit_that_cannot_be_written_is_an_error_and_names_no_kit() {
        let (world, _) = world();
        std::fs::write(world.dir.path().join("kits"), "no directory").unwrap();
        assert_eq!(world.save(), (None, Some(Code::KitNotSealed.as_str())));
    }
}

// SPDX-License-Identifier: Apache-2.0
//! The last drop-in of the configuration of K3s: what the service of the old server set, and nothing that is of the old machine.
//! Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use anyhow::Result;

use super::merged::Key;
use crate::config::yaml::YamlEntry;
use crate::error::{Code, Fault};
use crate::model::kit::Kit;
use crate::model::rebuild::NewMachine;
use crate::model::token;

/// Flags with addresses of a machine. What is no address of the new machine is dropped.
const ADDRESSES: [&str; 4] = ["advertise-address", "bind-address", "node-external-ip", "node-ip"];
/// Flags that are of one machine: its names, and the server that it joined, which is lost too.
const OF_MACHINE: [&str; 4] = ["node-external-dns", "node-internal-dns", "node-name", "server"];
/// Names and addresses in the certificate of the API server.
const NAMES: &str = "tls-san";
/// Flags that name a token or a file with one. They are set from the tokens of the kit.
const TOKENS: [&str; 4] = ["agent-token", "agent-token-file", "token", "token-file"];

/// What the service of K3s on the new machine sets.
pub(super) struct NewService<'a> {
    /// The value of a flag in its arguments, which override every file.
    pub(super) argument: &'a dyn Fn(&str) -> Option<String>,
    /// The value of a flag in its variables, which every file overrides.
    pub(super) variable: &'a dyn Fn(&str) -> Option<String>,
}

/// What the drop-in has.
#[derive(Default)]
pub(super) struct LastDropIn {
    /// Keys and values; a key without values unsets what earlier files set.
    entries: BTreeMap<String, Vec<String>>,
    /// Flags that were dropped or replaced.
    pub(super) dropped: BTreeSet<String>,
    /// Flags that still have an address of the old machine.
    pub(super) old_addresses: BTreeSet<String>,
    /// Whether the file of K3s for its token must be written, because nothing sets the token.
    pub(super) needs_token_file: bool,
}

/// Decides what the drop-in has. `keys` are those of all other files, `earlier` is what the kit has of an earlier rebuild.
///
/// # Errors
/// [`Code::TokenConflict`] if the new machine sets another token than the kit; [`Code::InvalidArgument`] if its service sets
/// another name or address than was given.
pub(super) fn decide(
    kit: &Kit,
    (keys, earlier): (&[Key], &[YamlEntry]),
    service: &NewService,
    machine: &NewMachine,
) -> Result<LastDropIn> {
    let old_addresses = kit.node.addresses.clone();
    let mut all = Decision { kit, keys, service, machine, old_addresses, out: LastDropIn::default() };
    for entry in earlier {
        all.add_old_flag(&entry.key, entry.value.flag_values());
    }
    for flag in &kit.unit.flags {
        all.add_old_flag(&flag.name, flag.values.iter().map(|v| v.expose().to_owned()).collect());
    }
    all.drop_what_is_of_the_old_machine();
    all.set_name_and_address()?;
    all.set_token()?;
    all.set_agent_token();
    all.find_old_addresses();
    Ok(all.out)
}

struct Decision<'a> {
    kit: &'a Kit,
    keys: &'a [Key],
    service: &'a NewService<'a>,
    machine: &'a NewMachine<'a>,
    /// The addresses of the old machine that are known.
    old_addresses: Vec<String>,
    out: LastDropIn,
}

impl Decision<'_> {
    /// Sets a flag that the old service, or an earlier rebuild, has set, unless the new machine sets it.
    fn add_old_flag(&mut self, name: &str, values: Vec<String>) {
        let is_name = !name.is_empty()
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        let is_own = self.keys.iter().any(|key| key.flag() == name && !key.from_kit);
        let is_argument = (self.service.argument)(name).is_some();
        if is_name && !is_own && !is_argument && !TOKENS.contains(&name) {
            self.set(name, values);
        }
    }

    /// The values that the old server had for a flag and that still apply; `None` if the new machine sets it.
    fn old_values(&self, flag: &str) -> Option<Vec<String>> {
        if let Some(values) = self.out.entries.get(flag) {
            return Some(values.clone());
        }
        let keys = self.keys.iter().filter(|key| key.flag() == flag && key.from_kit);
        let values: Vec<String> = keys.flat_map(Key::values).collect();
        (!values.is_empty()).then_some(values)
    }

    fn drop_what_is_of_the_old_machine(&mut self) {
        for flag in OF_MACHINE {
            if self.old_values(flag).is_some() {
                self.replace(flag, vec![]);
            }
        }
        for flag in ADDRESSES {
            let Some(old) = self.old_values(flag) else { continue };
            let addresses: Vec<&str> = old.iter().flat_map(|value| value.split(',')).map(str::trim).collect();
            let kept: Vec<&str> =
                addresses.iter().copied().filter(|address| self.is_usable(flag, address)).collect();
            if kept.len() < addresses.len() {
                let kept: Vec<String> = kept.into_iter().map(str::to_owned).collect();
                let lost = addresses.into_iter().map(str::to_owned).filter(|a| !kept.contains(a));
                let lost: Vec<String> = lost.collect();
                self.old_addresses.extend(lost);
                self.replace(flag, kept);
            }
        }
        if let Some(names) = self.old_values(NAMES) {
            let split = names.iter().flat_map(|value| value.split(','));
            let kept: Vec<String> = split
                .clone()
                .filter(|name| !self.is_of_old_machine(name.trim()))
                .map(str::to_owned)
                .collect();
            if kept.len() < split.count() {
                self.replace(NAMES, kept);
            }
        }
    }

    /// Whether the new machine can use this address for a flag.
    fn is_usable(&self, flag: &str, address: &str) -> bool {
        let any = |ip: IpAddr| ip.is_unspecified() || ip.is_loopback();
        self.is_own_address(address) || flag == "bind-address" && address.parse().is_ok_and(any)
    }

    fn is_own_address(&self, address: &str) -> bool {
        let same = |own: &String| match (own.parse::<IpAddr>(), address.parse::<IpAddr>()) {
            (Ok(own), Ok(address)) => own == address,
            _ => false,
        };
        self.machine.addresses.iter().any(same)
    }

    fn is_of_old_machine(&self, name: &str) -> bool {
        self.kit.node.name.eq_ignore_ascii_case(name)
            || self.old_addresses.iter().any(|address| address == name) && !self.is_own_address(name)
    }

    fn set_name_and_address(&mut self) -> Result<()> {
        let name: Vec<String> = self.machine.node_name.map(str::to_owned).into_iter().collect();
        for (flag, values) in [("node-name", name), ("node-ip", self.machine.node_ips.to_vec())] {
            if values.is_empty() {
                continue;
            }
            match (self.service.argument)(flag) {
                Some(own) if own == values.join(",") => {}
                Some(_) => {
                    let what =
                        format!("the K3s service sets another '{flag}' in its arguments than --{flag}");
                    return Err(Fault::new(Code::InvalidArgument, what)
                        .hint(format!("Remove --{flag} here or there."))
                        .into());
                }
                None => self.replace(flag, values),
            }
        }
        Ok(())
    }

    /// The token of the kit must be the one that K3s uses.
    fn set_token(&mut self) -> Result<()> {
        let wanted = &self.kit.tokens.server;
        let is_wanted = |text: &str| token::hash(text) == token::hash(wanted.expose());
        let of_file = |flag: &'static str| self.keys.iter().find(move |key| key.flag() == flag);
        let conflict = |place: &str| {
            Err(Fault::new(
                Code::TokenConflict,
                format!("{place} of the new machine sets another server token than that of the recovery kit"),
            )
            .hint("Remove the token there: the rebuild sets it.")
            .into())
        };
        if let Some(own) = (self.service.argument)("token") {
            return if is_wanted(&own) { Ok(()) } else { conflict("the K3s service") };
        }
        if of_file("token-file").is_some_and(|key| key.from_kit) {
            self.replace("token-file", vec![]);
        } else if of_file("token-file").is_some() || (self.service.argument)("token-file").is_some() {
            // The restore compares the token in that file with the snapshot.
            return Ok(());
        }
        let configured = of_file("token").and_then(|key| Some((key.values().pop()?, key.from_kit)));
        match configured.filter(|(text, _)| !text.is_empty()) {
            Some((text, _)) if is_wanted(&text) => {}
            Some((_, true)) => self.set("token", vec![wanted.expose().to_owned()]),
            Some((_, false)) => return conflict("a configuration file of K3s"),
            None => match (self.service.variable)("token") {
                Some(text) if is_wanted(&text) => {}
                Some(_) => self.set("token", vec![wanted.expose().to_owned()]),
                None => self.out.needs_token_file = true,
            },
        }
        Ok(())
    }

    fn set_agent_token(&mut self) {
        let is_own = |flag: &str| {
            (self.service.argument)(flag).is_some()
                || self.keys.iter().any(|key| key.flag() == flag && !key.from_kit)
        };
        if is_own("agent-token") || is_own("agent-token-file") {
            return;
        }
        if self.keys.iter().any(|key| key.flag() == "agent-token-file") {
            self.replace("agent-token-file", vec![]);
        }
        let is_set = self.keys.iter().any(|key| key.flag() == "agent-token" && !key.values().is_empty());
        if let Some(agent) = self.kit.tokens.agent.as_ref().filter(|_| !is_set) {
            self.set("agent-token", vec![agent.expose().to_owned()]);
        }
    }

    /// Values that name an address of the old machine in a way that is not understood here.
    fn find_old_addresses(&mut self) {
        let old: Vec<&String> =
            self.old_addresses.iter().filter(|address| !self.is_own_address(address)).collect();
        let names_old = |values: &[String]| values.iter().any(|v| old.iter().any(|a| has_address(v, a)));
        let of_files = self.keys.iter().filter(|key| !self.out.entries.contains_key(&key.name));
        let in_files = of_files.filter(|key| names_old(&key.values())).map(|key| key.flag().to_owned());
        let here =
            self.out.entries.iter().filter(|(_, values)| names_old(values)).map(|(name, _)| name.clone());
        self.out.old_addresses = in_files.chain(here).collect();
    }

    /// Sets a flag in place of what the files set.
    fn set(&mut self, flag: &str, values: Vec<String>) {
        for key in self.keys.iter().filter(|key| key.flag() == flag && key.name != flag) {
            // K3s accepts no two spellings of a flag.
            self.out.entries.insert(key.name.clone(), vec![]);
        }
        self.out.entries.insert(flag.to_owned(), values);
    }

    fn replace(&mut self, flag: &str, values: Vec<String>) {
        self.out.dropped.insert(flag.to_owned());
        self.set(flag, values);
    }
}

/// Shows names, never a value.
impl fmt::Debug for LastDropIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.entries.keys()).finish()
    }
}

/// Whether a text has this address, and not only a longer one that begins or ends in the same way.
fn has_address(text: &str, address: &str) -> bool {
    let is_part = |c: char| c.is_ascii_hexdigit() || c == '.' || c == ':';
    let digits = |c: char| if address.contains(':') { is_part(c) } else { c.is_ascii_digit() || c == '.' };
    text.match_indices(address).any(|(at, _)| {
        let before = text.get(..at).and_then(|t| t.chars().next_back());
        let after = text.get(at.saturating_add(address.len())..).and_then(|t| t.chars().next());
        !before.is_some_and(digits) && !after.is_some_and(digits)
    })
}

impl LastDropIn {
    /// The text of the file; `None` if nothing is to be set.
    pub(super) fn text(&self) -> Option<String> {
        if self.entries.is_empty() {
            return None;
        }
        let mut text = String::from(
            "# Written by 'k3s-snapshot rebuild': what the service of the old server set. Names and addresses of the old machine\n\
             # are unset.\n",
        );
        // A string of JSON is one of YAML, too.
        let quoted = |value: &String| serde_json::Value::from(value.as_str()).to_string();
        for (key, values) in &self.entries {
            match values.as_slice() {
                [] => text.push_str(&format!("{key}: []\n")),
                [one] => text.push_str(&format!("{key}: {}\n", quoted(one))),
                several => {
                    text.push_str(&format!("{key}:\n"));
                    several.iter().for_each(|value| text.push_str(&format!("  - {}\n", quoted(value))));
                }
            }
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::super::merged::{Source, merge};
    use super::*;
    use crate::config::yaml;
    use crate::error::code_of;
    use crate::model::kit::tests::kit;
    use crate::model::kit::{KitFlag, KitUnit};
    use crate::model::secret::Secret;

    /// A kit of the machine at 10.0.0.1 with these flags of its service.
    fn of_old(flags: &[(&str, &[&str])]) -> Kit {
        let flags = flags.iter().map(|(name, values)| KitFlag {
            name: (*name).to_owned(),
            values: values.iter().map(|value| Secret::new(*value)).collect(),
        });
        Kit { unit: KitUnit { flags: flags.collect(), ..KitUnit::default() }, ..kit() }
    }

    /// The new machine, at 10.0.0.2.
    struct New<'a> {
        name: Option<&'a str>,
        ips: &'a [&'a str],
        arguments: &'a [(&'a str, &'a str)],
        variables: &'a [(&'a str, &'a str)],
    }

    const NEW: New = New { name: None, ips: &[], arguments: &[], variables: &[] };

    /// `files` are texts of the kit; one that begins with `#new` is of the new machine.
    fn decided(kit: &Kit, files: &[&str], new: &New) -> Result<LastDropIn> {
        let source =
            |text: &&str| Source { from_kit: !text.starts_with("#new"), entries: yaml::parse(text).unwrap() };
        let keys = merge(files.iter().map(source).collect());
        let find = |all: &[(&str, &str)], flag: &str| {
            all.iter().find(|(name, _)| *name == flag).map(|(_, value)| (*value).to_owned())
        };
        let service = NewService {
            argument: &|flag| find(new.arguments, flag),
            variable: &|flag| find(new.variables, flag),
        };
        let ips: Vec<String> = new.ips.iter().map(|ip| (*ip).to_owned()).collect();
        let addresses = ["10.0.0.2".to_owned(), "fd00::2".to_owned()];
        let machine = NewMachine { node_name: new.name, node_ips: &ips, addresses: &addresses };
        decide(kit, (&keys, &[]), &service, &machine)
    }

    /// Keys and values, as K3s reads them.
    fn entries(drop_in: &LastDropIn) -> Vec<(String, Vec<String>)> {
        let text = drop_in.text().unwrap_or_default();
        yaml::parse(&text).unwrap().into_iter().map(|e| (e.key, e.value.flag_values())).collect()
    }

    #[test]
    fn nothing_of_the_old_machine_stays_and_all_else_does() {
        type Row<'a> =
            (&'a str, &'a [(&'a str, &'a [&'a str])], &'a [&'a str], &'a [(&'a str, &'a [&'a str])]);
        let token = "token: geheim\nagent-token: vertraulich\n";
        let rows: [Row; 15] = [
            ("nothing", &[], &[], &[]),
            ("an address in a file", &[], &["node-ip: 10.0.0.1"], &[("node-ip", &[])]),
            ("two with a comma", &[], &["node-ip: '10.0.0.1,fd00::2'"], &[("node-ip", &["fd00::2"])]),
            ("its short spelling", &[], &["i: 10.0.0.1"], &[("i", &[]), ("node-ip", &[])]),
            (
                "an address of the unit",
                &[("node-external-ip", &["192.0.2.1"])],
                &[],
                &[("node-external-ip", &[])],
            ),
            (
                "the unit over the file",
                &[("node-ip", &["10.0.0.2"])],
                &["node-ip: 10.0.0.1"],
                &[("node-ip", &["10.0.0.2"])],
            ),
            ("an own address", &[], &["advertise-address: 10.0.0.2"], &[]),
            ("every address", &[], &["bind-address: 0.0.0.0"], &[]),
            ("its name", &[("node-name", &["server-1"])], &[], &[("node-name", &[])]),
            ("the server that it joined", &[], &["server: https://10.0.0.7:6443"], &[("server", &[])]),
            (
                "names in the certificate",
                &[],
                &["tls-san: [lb.example, 10.0.0.1, server-1]"],
                &[("tls-san", &["lb.example"])],
            ),
            ("only other names", &[], &["tls-san: [lb.example]"], &[]),
            (
                "what the unit set",
                &[("debug", &["true"]), ("node-label", &["a=1", "b=\"2\""])],
                &[],
                &[("debug", &["true"]), ("node-label", &["a=1", "b=\"2\""])],
            ),
            (
                "the new machine has its own",
                &[("debug", &["true"])],
                &["node-ip: 10.0.0.1", "#new\ndebug: false\nnode-ip: 10.0.0.2"],
                &[],
            ),
            ("no flag", &[("../x", &["1"])], &[], &[]),
        ];
        for (name, flags, files, want) in rows {
            let files: Vec<&str> = [token].into_iter().chain(files.iter().copied()).collect();
            let got = entries(&decided(&of_old(flags), &files, &NEW).unwrap());
            let want: Vec<(String, Vec<String>)> = want
                .iter()
                .map(|(key, values)| ((*key).to_owned(), values.iter().map(|v| (*v).to_owned()).collect()))
                .collect();
            assert_eq!(got, want, "{name}");
        }
    }

    #[test]
    fn a_given_name_and_address_count_and_contradict_no_argument() {
        let new = New { name: Some("n"), ips: &["10.0.0.2", "fd00::2"], ..NEW };
        let files = ["token: geheim\nagent-token: x\nnode-name: a\nnode-ip: 10.0.0.1\n"];
        let got = decided(&of_old(&[]), &files, &new).unwrap();
        let want = [("node-ip", vec!["10.0.0.2", "fd00::2"]), ("node-name", vec!["n"])];
        assert_eq!(
            entries(&got),
            want.map(|(k, v)| (k.to_owned(), v.into_iter().map(str::to_owned).collect()))
        );
        assert_eq!(got.dropped, ["node-ip", "node-name"].map(str::to_owned).into());
        let other = New { arguments: &[("node-name", "m")], ..new };
        assert_eq!(code_of(&decided(&of_old(&[]), &files, &other).unwrap_err()), Code::InvalidArgument);
    }

    #[test]
    fn the_token_is_set_where_nothing_sets_it_and_another_one_is_refused() {
        let full = "K10".to_owned() + &"0".repeat(64) + "::server:geheim";
        let full = format!("token: {full}");
        // Arguments and variables of the new machine, files; the token in the drop-in, and whether its file is needed.
        type Row<'a> =
            (&'a [(&'a str, &'a str)], &'a [(&'a str, &'a str)], &'a [&'a str], Option<&'a str>, bool);
        let rows: [Row; 9] = [
            (&[], &[], &[], None, true),
            (&[], &[], &["token: geheim"], None, false),
            (&[], &[], &[&full], None, false),
            (&[], &[], &["t: rotated"], Some("geheim"), false),
            (&[], &[], &["token-file: /root/token"], None, true),
            (&[("token", "geheim")], &[], &[], None, false),
            (&[], &[("token", "geheim")], &[], None, false),
            (&[], &[("token", "other")], &[], Some("geheim"), false),
            (&[], &[], &["token: other", "#new\ntoken: geheim"], None, false),
        ];
        for (arguments, variables, files, token, file) in rows {
            let got = decided(&of_old(&[]), files, &New { arguments, variables, ..NEW }).unwrap();
            let set = entries(&got)
                .into_iter()
                .find(|(key, _)| key == "token")
                .and_then(|(_, v)| v.into_iter().next());
            assert_eq!((set.as_deref(), got.needs_token_file), (token, file), "{files:?}");
            assert!(
                entries(&got).iter().any(|(k, v)| k == "agent-token" && *v == ["vertraulich"]),
                "{files:?}"
            );
        }
        for (arguments, files) in
            [(&[("token", "other")][..], &[][..]), (&[], &["token: geheim", "#new\ntoken: other"])]
        {
            let refused = decided(&of_old(&[]), files, &New { arguments, ..NEW }).unwrap_err();
            assert_eq!(code_of(&refused), Code::TokenConflict);
            assert!(!format!("{refused:#}").contains("geheim"));
        }
    }

    #[test]
    fn an_address_of_the_old_machine_in_another_flag_is_reported() {
        let files = [
            "token: geheim\netcd-arg: ['listen-metrics-urls=http://10.0.0.1:2381']\nnode-label: [a=10.0.0.12]\n",
        ];
        let got = decided(&of_old(&[("kubelet-arg", &["x=10.0.0.1"])]), &files, &NEW).unwrap();
        assert_eq!(got.old_addresses, ["etcd-arg", "kubelet-arg"].map(str::to_owned).into());
        for (text, address, want) in [
            ("10.0.0.1", "10.0.0.1", true),
            ("110.0.0.1", "10.0.0.1", false),
            ("10.0.0.1.5", "10.0.0.1", false),
            ("[fd00::1]:1", "fd00::1", true),
            ("fd00::12", "fd00::1", false),
        ] {
            assert_eq!(has_address(text, address), want, "{text}");
        }
    }
}

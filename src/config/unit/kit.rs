// SPDX-License-Identifier: Apache-2.0
//! What the K3s service sets and no file of the configuration of K3s does, for a recovery kit.

use std::collections::BTreeSet;

use super::environment;
use super::flags::K3sFlags;
use crate::distribution::Distribution;
use crate::model::kit::{KitFlag, KitVariable};
use crate::model::secret::Secret;

/// Flags that are of one machine or one start, and never of the configuration of a server.
const LEFT_OUT: [&str; 4] = ["config", "cluster-reset", "cluster-reset-restore-path", "log"];

impl K3sFlags {
    /// The flags that the unit sets by its arguments, or by a variable if nothing else sets them, with all values that K3s gets
    /// for them.
    pub(in crate::config) fn kit_flags(&self) -> Vec<KitFlag> {
        let in_files: BTreeSet<&str> = self.files.iter().map(|(name, _)| name).collect();
        let arguments = self.arguments.iter().map(|(name, _)| name);
        let variables = self.variables.iter().map(|(name, _)| name).filter(|name| !in_files.contains(name));
        let names: BTreeSet<&str> =
            arguments.chain(variables).filter(|name| !LEFT_OUT.contains(name)).collect();
        names
            .into_iter()
            .map(|name| KitFlag {
                name: name.to_owned(),
                values: self.all(name).into_iter().map(Secret::new).collect(),
            })
            .collect()
    }

    /// The variables of the unit, sorted by name.
    pub(in crate::config) fn kit_variables(&self) -> Vec<KitVariable> {
        let mut all: Vec<KitVariable> = self
            .environment
            .variables
            .iter()
            .map(|v| KitVariable { name: v.name.clone(), value: Secret::new(v.value.as_str()) })
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// The value that the arguments of the service set for a flag.
    pub(in crate::config) fn argument(&self, flag: &str) -> Option<&str> {
        self.arguments.get(flag)?.values.last().map(String::as_str)
    }

    /// The value that the variables of the service set for a flag.
    pub(in crate::config) fn flag_variable(&self, flag: &str) -> Option<&str> {
        self.variables.get(flag)?.values.last().map(String::as_str)
    }

    /// Whether a variable sets a flag of K3s, or names its configuration file.
    pub(in crate::config) fn is_flag_variable(&self, name: &str, distribution: &Distribution) -> bool {
        let names = environment::FLAGS.iter().map(|(name, _)| *name).chain([environment::CONFIG_FILE]);
        names.into_iter().any(|known| distribution.variable(known) == name)
    }

    /// Every value of every flag.
    pub(in crate::config) fn all_values(&self) -> impl Iterator<Item = &str> {
        let layers = [&self.variables, &self.files, &self.arguments];
        layers
            .into_iter()
            .flat_map(|layer| layer.iter())
            .flat_map(|(_, v)| v.values.iter().map(String::as_str))
    }
}

#[cfg(test)]
mod tests {
    use super::super::flags::tests::{add_file, flags};

    #[test]
    fn flags_of_the_unit_have_the_values_that_k3s_gets() {
        let mut f = flags(
            &["--tls-san=b", "--node-ip", "10.0.0.1", "--config=/x.yaml"],
            &[("K3S_TOKEN", "geheim"), ("K3S_NODE_NAME", "n"), ("HTTPS_PROXY", "p")],
            &[],
        );
        add_file(&mut f, "tls-san: [a]\nnode-name: m\ncluster-init: true\n");
        let got: Vec<(String, Vec<String>)> = f
            .kit_flags()
            .into_iter()
            .map(|flag| (flag.name, flag.values.iter().map(|v| v.expose().to_owned()).collect()))
            .collect();
        let want = [("node-ip", &["10.0.0.1"][..]), ("tls-san", &["a", "b"]), ("token", &["geheim"])];
        let want = want.map(|(name, values)| {
            (name.to_owned(), values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>())
        });
        assert_eq!(got, want);
        let names: Vec<String> = f.kit_variables().into_iter().map(|v| v.name).collect();
        assert_eq!(names, ["HTTPS_PROXY", "K3S_NODE_NAME", "K3S_TOKEN"]);
    }
}

// SPDX-License-Identifier: Apache-2.0
//! How K3s is run to reset its cluster: its own configuration without what would make the reset do something else.

use serde_json::{Map, Value};

use super::environment;
use super::flags::K3sFlags;
use crate::model::secret::Secret;

/// What systemd sets as PATH of a service without a PATH of its own.
const DEFAULT_PATH: (&str, &str) = ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");

/// How to run K3s for a reset of its cluster. All of it may be secret.
#[derive(Debug, Clone)]
pub struct ResetInvocation {
    /// The text of a configuration file: JSON, which is YAML.
    pub config: Secret,
    /// The whole environment of the process.
    pub environment: Vec<(String, Secret)>,
}

impl K3sFlags {
    /// How to run a reset: with the flags of the files and of ExecStart, and `overrides` instead of those of the same name.
    /// Left out are `server`, `cluster-reset*`, `etcd-s3*` and `config`, which would lead it to another cluster, a bucket or
    /// another configuration, and `log`, which would hide its output. The environment is that of the service without such
    /// variables.
    pub fn reset_invocation(&self, overrides: &[(&str, Secret)]) -> ResetInvocation {
        let has_token = overrides.iter().any(|(flag, _)| *flag == "token");
        let is_left_out = |flag: &str| {
            ["server", "config", "log", "alsologtostderr", "s3"].contains(&flag)
                || ["cluster-reset", "etcd-s3", "s3-"].iter().any(|prefix| flag.starts_with(prefix))
                || has_token && flag == "token-file"
        };
        let mut config = Map::new();
        for (flag, _) in self.files.iter().chain(self.arguments.iter()).filter(|(flag, _)| !is_left_out(flag))
        {
            let value = match self.all(flag).as_slice() {
                [one] => Value::from(*one),
                several => Value::from(several),
            };
            config.insert(flag.to_owned(), value);
        }
        // With a bucket, K3s would look for the snapshot there, even if the path is a local one.
        config.insert("etcd-s3".to_owned(), Value::from("false"));
        for (flag, value) in overrides {
            config.insert((*flag).to_owned(), Value::from(value.expose()));
        }
        let mut environment: Vec<(String, Secret)> = self
            .environment
            .variables
            .iter()
            .filter(|v| {
                !(environment::is_unsafe_for_reset(&v.name) || has_token && v.name == "K3S_TOKEN_FILE")
            })
            .map(|v| (v.name.clone(), Secret::new(v.value.as_str())))
            .collect();
        let (name, default) = DEFAULT_PATH;
        if !environment.iter().any(|(variable, _)| variable == name) {
            environment.push((name.to_owned(), Secret::new(default)));
        }
        ResetInvocation { config: Secret::new(Value::Object(config).to_string()), environment }
    }

    /// Every place that makes K3s reset its cluster at each start: flag and place. There must be none when K3s is started
    /// again: with a restore path, K3s would restore at every start.
    pub fn persistent_reset_flags(&self) -> Vec<String> {
        let is_off =
            |value: &str| ["0", "f", "false", "no", "off"].contains(&value.to_ascii_lowercase().as_str());
        let switch = self
            .last("cluster-reset")
            .filter(|(value, _)| !is_off(value))
            .map(|found| ("cluster-reset", found.1));
        let path =
            self.last("cluster-reset-restore-path").map(|found| ("cluster-reset-restore-path", found.1));
        switch.into_iter().chain(path).map(|(flag, origin)| format!("{flag} in {origin}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::unit::flags::tests::{add_file, flags};
    use crate::config::yaml;

    #[test]
    fn a_reset_keeps_all_flags_but_those_that_lead_elsewhere() {
        let mut k3s = flags(
            &[
                "--server=https://a",
                "--token=old",
                "--cluster-reset",
                "--cluster-init",
                "--log=/l",
                "--node-label=a=1",
                "--node-label=b=2",
                "--etcd-arg=y",
            ],
            &[
                ("K3S_URL", "https://b"),
                ("K3S_CLUSTER_RESET", "true"),
                ("K3S_CONFIG_FILE", "/c"),
                ("K3S_TOKEN_FILE", "/t"),
                ("AWS_ACCESS_KEY_ID", "secret"),
                ("NOTIFY_SOCKET", "/n"),
                ("CREDENTIALS_DIRECTORY", "/d"),
                ("LISTEN_FDS", "1"),
                ("WATCHDOG_USEC", "1"),
                ("HTTPS_PROXY", "http://p"),
                ("K3S_NODE_NAME", "n"),
            ],
            &[],
        );
        add_file(
            &mut k3s,
            "etcd-s3: true\netcd-s3-bucket: b\ns3-region: r\ncluster-reset-restore-path: /x\ntoken-file: /t\n\
             data-dir: /d\nsecrets-encryption: true\no: /k\netcd-arg: [x]\nnode-taint: []\n",
        );
        let reset = k3s.reset_invocation(&[("token", Secret::new("new"))]);
        let got: Value = serde_json::from_str(reset.config.expose()).unwrap();
        let want = serde_json::json!({
            "token": "new", "cluster-init": "true", "node-label": ["a=1", "b=2"], "etcd-s3": "false", "data-dir": "/d",
            "secrets-encryption": "true", "write-kubeconfig": "/k", "etcd-arg": ["x", "y"],
        });
        assert_eq!(got, want);
        let names: Vec<&str> = reset.environment.iter().map(|(n, _)| n.as_str()).collect();
        assert_eq!(names, ["HTTPS_PROXY", "K3S_NODE_NAME", "PATH"]);
        assert!(yaml::parse(reset.config.expose()).is_ok(), "K3s reads YAML");
        let shown = format!("{k3s:?} {reset:?}");
        assert!(!["old", "new", "secret\"", "http://p"].iter().any(|s| shown.contains(s)), "{shown}");
        // Without a token given, K3s takes its own.
        let plain = k3s.reset_invocation(&[]);
        assert!(plain.config.expose().contains("\"token-file\":\"/t\""), "{}", plain.config.expose());
        assert!(plain.environment.iter().any(|(n, _)| n == "K3S_TOKEN_FILE"));
        let own = flags(&[], &[("PATH", "/p")], &[]).reset_invocation(&[]);
        assert_eq!(
            own.environment.iter().map(|(n, v)| (n.as_str(), v.expose())).collect::<Vec<_>>(),
            [("PATH", "/p")]
        );
    }

    #[test]
    fn flags_that_would_reset_at_every_start_are_found_with_their_place() {
        assert!(flags(&["--cluster-init"], &[], &[]).persistent_reset_flags().is_empty());
        let by_argument = flags(&["--cluster-reset"], &[], &[]).persistent_reset_flags();
        assert_eq!(by_argument, ["cluster-reset in ExecStart of k3s.service"]);
        let by_file = flags(&[], &[], &["A=b\nK3S_CLUSTER_RESET=1\n"]).persistent_reset_flags();
        assert!(by_file.len() == 1 && by_file[0].ends_with("/0.env:2 (K3S_CLUSTER_RESET)"), "{by_file:?}");
        let mut both = flags(&[], &[], &[]);
        add_file(&mut both, "cluster-reset: true\ncluster-reset-restore-path: /x\n");
        assert_eq!(
            both.persistent_reset_flags(),
            ["cluster-reset in /c.yaml:1", "cluster-reset-restore-path in /c.yaml:2"]
        );
        let mut off = flags(&["--cluster-reset=false"], &[], &[]);
        add_file(&mut off, "cluster-reset: true\n");
        assert!(off.persistent_reset_flags().is_empty(), "the argument wins");
    }
}

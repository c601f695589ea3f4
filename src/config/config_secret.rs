// SPDX-License-Identifier: Apache-2.0
//! The settings of a bucket in a Secret of the cluster (`etcd-s3-config-secret`), by the rules of K3s: the Secret counts only
//! if all other S3 options of K3s have their defaults. Our own settings override its values. The Secret itself is read
//! elsewhere.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Result;

use super::layer::{Layer, Origin};
use super::options::{OPTIONS, OptionId};
use super::paths::OUR_CONFIG;
use super::s3_files::CERTIFICATE;
use super::settings::Settings;
use super::value::{is_go_duration, parse_bool, parse_duration};
use super::{retention, s3};
use crate::error::{Code, Fault};
use crate::model::retention::{Location, Policies};
use crate::model::s3_config::S3Config;

/// The options that the Secret can set, by the names of the flags of K3s.
const VALUES: [OptionId; 13] = [
    OptionId::S3Endpoint,
    OptionId::S3SkipSslVerify,
    OptionId::S3AccessKey,
    OptionId::S3SecretKey,
    OptionId::S3SessionToken,
    OptionId::S3Bucket,
    OptionId::S3BucketLookupType,
    OptionId::S3Region,
    OptionId::S3Folder,
    OptionId::S3Insecure,
    OptionId::S3Timeout,
    OptionId::S3Proxy,
    OptionId::S3Retention,
];
/// The certificates of the endpoint, in PEM.
const CA: &str = "etcd-s3-endpoint-ca";
/// The name of a ConfigMap with certificates.
const CA_NAME: &str = "etcd-s3-endpoint-ca-name";

/// The Secret that has the settings of the bucket, in the namespace kube-system.
#[derive(Debug)]
pub(crate) struct ConfigSecret<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// Where K3s is configured to use it.
    pub(crate) origin: &'a Origin,
}

/// What the Secret and the ConfigMap that it names contain.
#[derive(Default)]
pub(crate) struct SecretValues {
    /// The data of the Secret.
    pub(crate) data: BTreeMap<String, Vec<u8>>,
    /// The values of the ConfigMap.
    pub(crate) certificates: Vec<Vec<u8>>,
}

/// Prints no value.
impl fmt::Debug for SecretValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.data.keys()).finish()
    }
}

impl SecretValues {
    /// The name of the ConfigMap with more certificates.
    pub(crate) fn ca_config_map(&self) -> Option<&str> {
        std::str::from_utf8(self.data.get(CA_NAME)?).ok().filter(|name| !name.is_empty())
    }
}

impl fmt::Display for ConfigSecret<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the Kubernetes Secret '{}' ({})", self.name.escape_debug(), self.origin)
    }
}

impl ConfigSecret<'_> {
    /// The way out if the Secret cannot be used.
    pub(crate) fn hint(first: &str) -> String {
        format!(
            "{first} set s3-bucket, s3-endpoint, s3-region and the keys in {OUR_CONFIG}; or set 's3: false' there, which \
             leaves the bucket to K3s."
        )
    }
}

impl Settings {
    /// The Secret that must be read for the settings of the bucket. `None` if they are configured otherwise.
    ///
    /// # Errors
    /// If K3s ignores the Secret, so that no bucket is set.
    pub(crate) fn config_secret(&self) -> Result<Option<ConfigSecret<'_>>> {
        let secret = self.merged.effective(OptionId::S3ConfigSecret);
        let Some((name, origin)) = secret.filter(|_| self.merged.effective(OptionId::S3Bucket).is_none())
        else {
            return Ok(None);
        };
        let secret = ConfigSecret { name, origin };
        match self.overriding_option() {
            None => Ok(Some(secret)),
            Some((option, origin)) => {
                let message = format!(
                    "no bucket is set: {} ignores {secret}, because '{option}' is set ({origin})",
                    self.distribution.name
                );
                let hint = ConfigSecret::hint("Remove that option from the configuration of K3s; or");
                Err(Fault::new(Code::S3BucketMissing, message).hint(hint).into())
            }
        }
    }

    /// The S3 option of K3s that has another value than its default. The retention does not count.
    fn overriding_option(&self) -> Option<(&'static str, &Origin)> {
        let ids =
            VALUES.into_iter().filter(|id| *id != OptionId::S3Retention).chain([OptionId::S3EndpointCa]);
        let mut set = ids.filter_map(|id| Some((id, self.k3s_options.effective(id)?)));
        set.find(|(id, (text, _))| !is_default(*id, text)).map(|(id, (_, origin))| (k3s_name(id), origin))
    }

    /// The bucket, with the values of the Secret.
    ///
    /// # Errors
    /// As [`Settings::bucket`].
    pub(crate) fn bucket_of_secret(
        &self,
        secret: &ConfigSecret<'_>,
        values: &SecretValues,
    ) -> Result<S3Config> {
        let mut merged = self.merged.clone();
        overlay(&mut merged, secret, values)?;
        if merged.effective(OptionId::S3Bucket).is_none() {
            let message = format!("no bucket is set: {secret} has no '{}'", k3s_name(OptionId::S3Bucket));
            let hint = ConfigSecret::hint("Add it to the Secret; or");
            return Err(Fault::new(Code::S3BucketMissing, message).hint(hint).into());
        }
        s3::bucket(&merged, &self.paths, self.distribution)
    }

    /// The retention policies of the bucket, with the number in the Secret.
    ///
    /// # Errors
    /// As [`Settings::policies`].
    pub(crate) fn policies_of_secret(
        &self,
        secret: &ConfigSecret<'_>,
        values: &SecretValues,
    ) -> Result<Policies> {
        let mut raw = self.raw_options.clone();
        overlay(&mut raw, secret, values)?;
        retention::policies(&raw, &self.timezone, Location::S3)
    }
}

/// The flag of K3s for an option, which is its key in the Secret too.
fn k3s_name(id: OptionId) -> &'static str {
    OPTIONS.iter().find(|option| option.id == id).and_then(|option| option.k3s.first()).copied().unwrap_or("")
}

/// Whether a flag of K3s with this text has its default.
fn is_default(id: OptionId, text: &str) -> bool {
    match id {
        OptionId::S3SkipSslVerify | OptionId::S3Insecure => parse_bool(text) == Some(false),
        OptionId::S3Timeout => parse_duration(text).is_some_and(|timeout| timeout.as_secs_f64() == 300.0),
        OptionId::S3Endpoint => text == "s3.amazonaws.com",
        OptionId::S3Region => text == "us-east-1",
        _ => text.is_empty(),
    }
}

/// Sets what is not set for this program.
fn overlay(merged: &mut Layer, secret: &ConfigSecret<'_>, values: &SecretValues) -> Result<()> {
    let origin = Origin::Secret(secret.name.to_owned());
    let is_ours = |merged: &Layer, id| merged.effective(id).is_some_and(|(_, origin)| origin.set_here());
    for id in VALUES {
        let key = k3s_name(id);
        let Some(bytes) = values.data.get(key).filter(|_| !is_ours(merged, id)) else { continue };
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Err(invalid(secret, key, "is not text"));
        };
        let is_key = matches!(id, OptionId::S3AccessKey | OptionId::S3SecretKey | OptionId::S3SessionToken);
        if is_key && text.trim() != text {
            return Err(invalid(secret, key, "begins or ends with white space, which K3s does not remove"));
        }
        let Some(text) = accepted(id, text) else {
            // The value may be a secret in the wrong place, so it is not shown.
            log::warn!("'{key}' in {secret} has a value that K3s does not accept; the default is used");
            continue;
        };
        if !text.is_empty() || id == OptionId::S3Endpoint {
            merged.set(id, vec![text], origin.clone());
        }
    }
    if !is_ours(merged, OptionId::S3EndpointCa) {
        let inline = values.data.get(CA).filter(|pem| !pem.is_empty());
        let all: Vec<String> = inline
            .into_iter()
            .chain(&values.certificates)
            .map(|pem| String::from_utf8_lossy(pem).into_owned())
            .collect();
        let pem: Vec<String> = all.iter().filter(|pem| pem.contains(CERTIFICATE)).cloned().collect();
        if !all.is_empty() && pem.is_empty() {
            return Err(invalid(secret, CA, "is not a certificate in PEM"));
        }
        if !pem.is_empty() {
            merged.set(OptionId::S3EndpointCa, vec![pem.join("\n")], origin);
        }
    }
    Ok(())
}

/// A value as K3s takes it. It logs one that it does not accept, and uses the default.
fn accepted(id: OptionId, text: &str) -> Option<String> {
    let is_accepted = match id {
        OptionId::S3SkipSslVerify | OptionId::S3Insecure => matches!(
            text,
            "1" | "t" | "T" | "true" | "TRUE" | "True" | "0" | "f" | "F" | "false" | "FALSE" | "False"
        ),
        // Ours has days and weeks in addition.
        OptionId::S3Timeout => is_go_duration(text) && parse_duration(text).is_some(),
        OptionId::S3Retention => return text.parse::<i64>().ok().map(|number| number.to_string()),
        _ => true,
    };
    is_accepted.then(|| text.to_owned())
}

fn invalid(secret: &ConfigSecret<'_>, key: &str, reason: &str) -> anyhow::Error {
    let message = format!("'{key}' in {secret} {reason}");
    Fault::new(Code::InvalidSetting, message).hint("Correct the value in the Secret.").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    use crate::config::load::{Environment, Selectors, load};
    use crate::config::paths::in_root;
    use crate::distribution::Distribution;
    use crate::error::{code_of, hint_of};
    use crate::model::s3_config::{Credentials, Proxy};
    use crate::model::unit::UnitAnswer;

    const K3S_FILE: &str = "/etc/rancher/k3s/config.yaml";
    const SECRET: &str = "etcd-s3: true\netcd-s3-config-secret: s\n";
    const PEM: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

    /// The settings of a machine with these lines in the configuration of K3s, in ours, and in our environment.
    fn settings(k3s: &str, ours: &str, env: &[(&str, &str)]) -> Settings {
        machine(&[(K3S_FILE, &format!("{SECRET}{k3s}")), (OUR_CONFIG, ours)], env)
    }

    /// The settings of a machine with these files, in this environment.
    fn machine(files: &[(&str, &str)], env: &[(&str, &str)]) -> Settings {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for (path, text) in files {
            let path = in_root(&root, Path::new(path));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let env: Environment = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let lookup = |_: &'static Distribution, _: Option<&str>| Ok(UnitAnswer::Absent);
        let loaded = load(&root, &Selectors::default(), &env, &lookup).unwrap();
        Settings::new(loaded, Layer::default(), &root, "host").unwrap()
    }

    fn values(pairs: &[(&str, &str)]) -> SecretValues {
        let data = pairs.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()));
        SecretValues { data: data.collect(), certificates: Vec::new() }
    }

    fn bucket(s: &Settings, values: &SecretValues) -> Result<S3Config> {
        s.bucket_of_secret(&s.config_secret().unwrap().expect("the Secret counts"), values)
    }

    const MINIMAL: [(&str, &str); 3] =
        [("etcd-s3-bucket", "b"), ("etcd-s3-access-key", "ACCESS"), ("etcd-s3-secret-key", "GEHEIM")];

    fn with(more: &[(&str, &str)]) -> SecretValues {
        values(&[&MINIMAL[..], more].concat())
    }

    #[test]
    fn every_value_of_the_secret_is_taken_as_k3s_takes_it() {
        let s = settings("", "", &[]);
        let of = |more: &[(&str, &str)]| bucket(&s, &with(more)).unwrap();
        let plain = of(&[]);
        assert_eq!(
            (plain.name.as_str(), plain.endpoint.as_str(), plain.region.as_str(), plain.folder.as_str()),
            ("b", "https://s3.amazonaws.com", "us-east-1", "")
        );
        assert_eq!((plain.timeout.as_secs(), plain.skip_verify, plain.authorities), (300, false, None));
        let Credentials::Given(keys) = plain.credentials else { panic!() };
        assert_eq!((keys.access.expose(), keys.secret.expose(), keys.token), ("ACCESS", "GEHEIM", None));
        let all = of(&[
            ("etcd-s3-endpoint", "minio:9000"),
            ("etcd-s3-region", "eu-1"),
            ("etcd-s3-folder", "/a//b/"),
            ("etcd-s3-insecure", "true"),
            ("etcd-s3-skip-ssl-verify", "T"),
            ("etcd-s3-timeout", "1m30s"),
            ("etcd-s3-proxy", "http://p:1"),
            ("etcd-s3-session-token", "TOKEN"),
            ("etcd-s3-endpoint-ca", PEM),
            ("other", "x"),
        ]);
        assert_eq!(
            (all.endpoint.as_str(), all.region.as_str(), all.folder.as_str()),
            ("http://minio:9000", "eu-1", "/a/b")
        );
        assert_eq!((all.timeout.as_secs(), all.skip_verify), (90, true));
        assert!(matches!(all.proxy, Proxy::Url(url) if url.expose() == "http://p:1"));
        assert_eq!(all.authorities.unwrap().trim(), PEM.trim());
        let Credentials::Given(keys) = all.credentials else { panic!() };
        assert_eq!(keys.token.unwrap().expose(), "TOKEN");
        // A value that K3s does not accept is the default.
        let odd = of(&[
            ("etcd-s3-insecure", "yes"),
            ("etcd-s3-skip-ssl-verify", "on"),
            ("etcd-s3-timeout", "7d"),
            ("etcd-s3-region", ""),
        ]);
        assert_eq!((odd.is_tls(), odd.skip_verify, odd.timeout.as_secs()), (true, false, 300));
        assert_eq!(odd.region, "us-east-1");
        // Both sources of certificates count.
        let more = SecretValues {
            certificates: vec![b"no certificate".to_vec(), PEM.into()],
            ..with(&[("etcd-s3-endpoint-ca", PEM)])
        };
        assert_eq!(bucket(&s, &more).unwrap().authorities.unwrap().matches(CERTIFICATE).count(), 2);
        assert_eq!(with(&[("etcd-s3-endpoint-ca-name", "ca")]).ca_config_map(), Some("ca"));
    }

    #[test]
    fn an_option_of_k3s_that_is_not_its_default_makes_k3s_ignore_the_secret() {
        for (line, is_used) in [
            ("etcd-s3-endpoint: s3.amazonaws.com", true),
            ("etcd-s3-region: us-east-1", true),
            ("etcd-s3-timeout: 300s", true),
            ("etcd-s3-insecure: false", true),
            ("etcd-s3-folder: ''", true),
            ("etcd-s3-retention: 9", true),
            ("etcd-s3-endpoint: minio", false),
            ("etcd-s3-region: eu-1", false),
            ("etcd-s3-timeout: 1m", false),
            ("etcd-s3-insecure: true", false),
            ("etcd-s3-skip-ssl-verify: true", false),
            ("etcd-s3-folder: a", false),
            ("etcd-s3-access-key: a", false),
            ("etcd-s3-secret-key: a", false),
            ("etcd-s3-session-token: a", false),
            ("etcd-s3-endpoint-ca: /ca.pem", false),
            ("etcd-s3-proxy: none", false),
            ("etcd-s3-bucket-lookup-type: auto", false),
        ] {
            let s = settings(line, "", &[]);
            match s.config_secret() {
                Ok(found) => assert!(is_used && found.is_some(), "{line}"),
                Err(e) => {
                    assert!(!is_used && code_of(&e) == Code::S3BucketMissing, "{line}: {e:#}");
                    assert!(hint_of(&e).is_some_and(|hint| hint.contains("s3: false")));
                }
            }
        }
        // With a bucket of K3s or of ours, the Secret is not needed.
        assert!(settings("etcd-s3-bucket: b", "", &[]).config_secret().unwrap().is_none());
        assert!(settings("", "s3-bucket: b", &[]).config_secret().unwrap().is_none());
    }

    #[test]
    fn our_own_settings_override_the_secret() {
        let s = settings(
            "",
            "s3-folder: ours\ns3-parallel: 2\n",
            &[("AWS_ACCESS_KEY_ID", "A"), ("AWS_SECRET_ACCESS_KEY", "B")],
        );
        let found =
            bucket(&s, &with(&[("etcd-s3-folder", "theirs"), ("etcd-s3-session-token", "T")])).unwrap();
        assert_eq!((found.folder.as_str(), found.parallel, found.name.as_str()), ("ours", 2, "b"));
        let Credentials::Given(keys) = found.credentials else { panic!() };
        assert_eq!((keys.access.expose(), keys.secret.expose(), keys.token), ("A", "B", None));
        // The number of snapshots in the bucket.
        let last = |s: &Settings| {
            let secret = s.config_secret().unwrap().unwrap();
            s.policies_of_secret(&secret, &with(&[("etcd-s3-retention", "07")])).unwrap().all.last
        };
        assert_eq!(last(&settings("", "", &[])), Some(7));
        assert_eq!(last(&settings("", "s3-retention: 3", &[])), Some(3));
    }

    #[test]
    fn the_variables_of_the_k3s_service_count_for_the_bucket_of_its_secret() {
        let unit = |variable: &str| {
            format!("[Service]\nEnvironment={variable}\nExecStart=/usr/local/bin/k3s server\n")
        };
        let with_unit = |variable: &str, ours: &str| {
            let unit = unit(variable);
            machine(
                &[(K3S_FILE, SECRET), (OUR_CONFIG, ours), ("/etc/systemd/system/k3s.service", &unit)],
                &[],
            )
        };
        let Proxy::Variables(found) =
            bucket(&with_unit("HTTPS_PROXY=http://p:1", ""), &with(&[])).unwrap().proxy
        else {
            panic!()
        };
        assert_eq!(found.https.unwrap().expose(), "http://p:1");
        // K3s reads its keys from there as if they were flags, and then ignores the Secret.
        let e = with_unit("AWS_ACCESS_KEY_ID=a", "").config_secret().map(|_| ()).unwrap_err();
        assert_eq!(code_of(&e), Code::S3BucketMissing);
        let Proxy::Variables(ours) =
            with_unit("HTTPS_PROXY=http://p:1", "s3-bucket: b").bucket().unwrap().proxy
        else {
            panic!()
        };
        assert!(ours.https.is_none(), "a bucket of ours is not reached through the proxy of K3s");
    }

    #[test]
    fn a_mistake_in_the_secret_is_an_error_that_shows_no_value() {
        let s = settings("", "", &[]);
        let untrimmed = [MINIMAL[0], MINIMAL[1], ("etcd-s3-secret-key", "GEHEIM\n")];
        for (values, code) in [
            (values(&MINIMAL[1..]), Code::S3BucketMissing),
            (values(&untrimmed), Code::InvalidSetting),
            (values(&MINIMAL[..2]), Code::S3CredentialsMissing),
            (with(&[("etcd-s3-region", "GEHEIM/")]), Code::InvalidSetting),
            (with(&[("etcd-s3-endpoint", "")]), Code::InvalidSetting),
            (with(&[("etcd-s3-endpoint-ca", "/etc/GEHEIM.pem")]), Code::InvalidSetting),
            (with(&[("etcd-s3-proxy", "GEHEIM")]), Code::InvalidSetting),
        ] {
            let e = bucket(&s, &values).unwrap_err();
            let text = format!("{e:#} {values:?} {}", hint_of(&e).unwrap_or_default());
            assert!(code_of(&e) == code && !text.contains("GEHEIM"), "{text}");
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
//! Where etcd is: the option with its addresses, and the configuration that K3s wrote for etcd, which has them if the option is
//! not set.

use anyhow::Result;

use super::layer::Layer;
use super::options::OptionId;
use super::yaml;
use crate::error::{Code, Fault};

/// The configuration of etcd, as far as it is used.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct EtcdConfig {
    /// The addresses for clients, loopback first; empty if the configuration has none.
    pub(crate) client_urls: Vec<String>,
    /// The directory of the database.
    pub(crate) data_dir: Option<String>,
}

/// Reads `server/db/etcd/config`.
///
/// # Errors
/// If the text is not a mapping in YAML; the error has the place.
pub(crate) fn parse(text: &str) -> Result<EtcdConfig, String> {
    let entries = yaml::parse(text)?;
    let values =
        |key: &str| entries.iter().find(|e| e.key == key).map(|e| e.value.flag_values()).unwrap_or_default();
    let urls = |key: &str| {
        let all = values(key);
        let urls = all.iter().flat_map(|v| v.split(',')).map(|u| u.trim().to_owned());
        urls.filter(|u| u.starts_with("https://") || u.starts_with("http://")).collect::<Vec<_>>()
    };
    let mut client_urls = urls("listen-client-urls");
    if client_urls.is_empty() {
        client_urls = urls("advertise-client-urls");
    }
    // A client cannot call 0.0.0.0.
    client_urls.retain(|u| !u.contains("//0.0.0.0:") && !u.contains("//[::]:"));
    // The sort is stable: equals keep the order of the file.
    client_urls
        .sort_by_key(|u| !(u.contains("//127.") || u.contains("//[::1]") || u.contains("//localhost")));
    let data_dir = values("data-dir").pop().filter(|dir| !dir.is_empty());
    Ok(EtcdConfig { client_urls, data_dir })
}

/// The addresses that the option `etcd-endpoints` has; empty if it is not set.
///
/// # Errors
/// If one of them is not a URL of a host.
pub(super) fn endpoints(merged: &Layer) -> Result<Vec<String>> {
    let Some(entry) = merged.get(OptionId::EtcdEndpoints) else { return Ok(vec![]) };
    let list: Vec<String> = entry
        .values
        .iter()
        .flat_map(|v| v.split(','))
        .map(|v| v.trim().trim_end_matches('/').to_owned())
        .filter(|v| !v.is_empty())
        .collect();
    if let Some(url) = list.iter().find(|url| !is_endpoint(url)) {
        // The part before an @ may be a password.
        let shown = url.rsplit_once('@').map_or(url.as_str(), |(_, host)| host).escape_debug();
        let (name, origin) = (OptionId::EtcdEndpoints.name(), &entry.origin);
        let message =
            format!("option '{name}' ({origin}): '{shown}' is not a URL like https://127.0.0.1:2379");
        return Err(Fault::new(Code::InvalidSetting, message).of_kind(origin.error_kind()).into());
    }
    Ok(list)
}

fn is_endpoint(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or_default();
    let (host, port) = rest.rsplit_once(':').unwrap_or((rest, "2379"));
    !host.is_empty()
        && host.starts_with('[') == host.ends_with(']')
        && !host.contains(['/', '@', ' ', '?', '#'])
        && port.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_comes_first_and_the_rest_keeps_its_order() {
        let client_urls = |text| parse(text).unwrap().client_urls;
        let text = "advertise-client-urls: https://10.0.0.4:2379\nclient-transport-security:\n  cert-file: /x\nlisten-client-urls: https://10.0.0.4:2379,https://127.0.0.1:2379\nlog-outputs:\n- stderr\n";
        assert_eq!(client_urls(text), ["https://127.0.0.1:2379", "https://10.0.0.4:2379"]);
        assert_eq!(client_urls("listen-client-urls: https://[::1]:2379\n"), ["https://[::1]:2379"]);
        assert_eq!(client_urls("advertise-client-urls: https://10.0.0.4:2379\n"), ["https://10.0.0.4:2379"]);
        assert!(client_urls("listen-client-urls: https://0.0.0.0:2379\n").is_empty());
        assert_eq!(parse("data-dir: /x\n").unwrap().data_dir.as_deref(), Some("/x"));
        assert_eq!(parse("").unwrap(), EtcdConfig::default());
        assert!(parse("a: b: c\n").unwrap_err().contains("line 1"));
    }
}

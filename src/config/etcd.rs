// SPDX-License-Identifier: Apache-2.0
//! The configuration that K3s wrote for its etcd: the truth about where etcd listens.

use super::yaml;

/// What we need to know of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct EtcdConfig {
    /// Where clients reach it, loopback first; empty where it names none.
    pub client_urls: Vec<String>,
    /// The folder of its database.
    pub data_dir: Option<String>,
}

/// Reads `server/db/etcd/config`. The error says where it cannot be read.
pub fn parse(text: &str) -> Result<EtcdConfig, String> {
    let lines = yaml::parse(text)?;
    let of =
        |key: &str| lines.iter().find(|l| l.key == key).and_then(|l| l.values.clone()).unwrap_or_default();
    let urls = |key: &str| {
        let all = of(key);
        let urls = all.iter().flat_map(|v| v.split(',')).map(|u| u.trim().to_owned());
        urls.filter(|u| u.starts_with("https://") || u.starts_with("http://")).collect::<Vec<_>>()
    };
    let mut client_urls = urls("listen-client-urls");
    if client_urls.is_empty() {
        client_urls = urls("advertise-client-urls");
    }
    // 0.0.0.0 is no address to call.
    client_urls.retain(|u| !u.contains("//0.0.0.0:") && !u.contains("//[::]:"));
    // Stable, so the file's order stays among equals.
    client_urls
        .sort_by_key(|u| !(u.contains("//127.") || u.contains("//[::1]") || u.contains("//localhost")));
    Ok(EtcdConfig { client_urls, data_dir: of("data-dir").pop() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_comes_first_and_the_rest_stays() {
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

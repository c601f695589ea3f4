// SPDX-License-Identifier: Apache-2.0
//! The configuration that K3s wrote for its etcd: the truth about where etcd listens.

use super::yaml;

/// The client URLs in `server/db/etcd/config`, loopback first; empty where it names none.
pub fn client_urls(text: &str) -> Vec<String> {
    let lines = yaml::parse(text).unwrap_or_default();
    let of = |key: &str| {
        let values = lines.iter().find(|l| l.key == key).and_then(|l| l.values.as_ref());
        let urls = values.into_iter().flatten().flat_map(|v| v.split(',')).map(|u| u.trim().to_owned());
        urls.filter(|u| u.starts_with("https://") || u.starts_with("http://")).collect::<Vec<_>>()
    };
    let mut urls = of("listen-client-urls");
    if urls.is_empty() {
        urls = of("advertise-client-urls");
    }
    // Stable, so the file's order stays among equals. 0.0.0.0 is no address to call.
    urls.retain(|u| !u.contains("//0.0.0.0:") && !u.contains("//[::]:"));
    urls.sort_by_key(|u| !(u.contains("//127.") || u.contains("//[::1]") || u.contains("//localhost")));
    urls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_comes_first_and_the_rest_stays() {
        let text = "advertise-client-urls: https://10.0.0.4:2379\nclient-transport-security:\n  cert-file: /x\nlisten-client-urls: https://10.0.0.4:2379,https://127.0.0.1:2379\nlog-outputs:\n- stderr\n";
        assert_eq!(client_urls(text), ["https://127.0.0.1:2379", "https://10.0.0.4:2379"]);
        assert_eq!(client_urls("listen-client-urls: https://[::1]:2379\n"), ["https://[::1]:2379"]);
        assert_eq!(client_urls("advertise-client-urls: https://10.0.0.4:2379\n"), ["https://10.0.0.4:2379"]);
        assert!(client_urls("listen-client-urls: https://0.0.0.0:2379\n").is_empty());
        assert!(client_urls("%%%").is_empty());
    }
}

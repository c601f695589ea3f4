// SPDX-License-Identifier: Apache-2.0
//! The proxy of the environment. The variables are read as Go reads them, and so K3s: the `NO_PROXY` of a server lists its
//! own networks, and the other end is often in one of them.

use std::net::IpAddr;

use crate::model::s3_config::ProxyVariables;

/// The URL of the proxy to a host; `None` for a direct connection.
pub(crate) fn from_variables<'a>(
    variables: &'a ProxyVariables,
    is_tls: bool,
    host: &str,
    port: u16,
) -> Option<&'a str> {
    let url = if is_tls { &variables.https } else { &variables.http };
    let url = Some(url.as_ref()?.expose().trim()).filter(|url| !url.is_empty())?;
    let no_proxy = variables.no_proxy.as_deref().unwrap_or_default();
    let is_direct = is_loopback(host) || no_proxy.split(',').any(|entry| matches(entry, host, port));
    (!is_direct).then_some(url)
}

/// Whether a host is this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whether an entry of `NO_PROXY` matches a host. An entry is `*`, an address, a network, or a host with its
/// subdomains (`.host`: only the subdomains). All but a network may have a port.
fn matches(entry: &str, host: &str, port: u16) -> bool {
    let entry = entry.trim().to_ascii_lowercase();
    if entry == "*" {
        return true;
    }
    let address = host.parse::<IpAddr>().ok();
    if let Some((net, bits)) = entry.split_once('/') {
        return match (address, net.parse::<IpAddr>(), bits.parse::<u32>()) {
            (Some(address), Ok(net), Ok(bits)) => within(address, net, bits),
            _ => false,
        };
    }
    let bare = |text: &str| text.trim_start_matches('[').trim_end_matches(']').to_owned();
    let (name, wanted) = match entry.rsplit_once(':') {
        // An IPv6 address has colons of its own.
        Some((name, number)) if bare(&entry).parse::<IpAddr>().is_err() => (name, number.parse::<u16>().ok()),
        _ => (entry.as_str(), None),
    };
    if name.is_empty() || wanted.is_some_and(|wanted| wanted != port) {
        return false;
    }
    if let Ok(name) = bare(name).parse::<IpAddr>() {
        return address == Some(name);
    }
    let name = name.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(name);
    let below = |name: &str| host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'));
    match name.strip_prefix('.') {
        Some(parent) => below(parent),
        None => host == name || below(name),
    }
}

fn within(address: IpAddr, net: IpAddr, bits: u32) -> bool {
    match (address, net) {
        (IpAddr::V4(a), IpAddr::V4(n)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            u32::from(a) & mask == u32::from(n) & mask
        }
        (IpAddr::V6(a), IpAddr::V6(n)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            u128::from(a) & mask == u128::from(n) & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proxy_is_read_as_go_reads_it() {
        for (entry, host, port, want) in [
            ("*", "s3.example.com", 443, true),
            ("example.com", "example.com", 443, true),
            ("example.com", "s3.example.com", 443, true),
            (".example.com", "s3.example.com", 443, true),
            ("*.example.com", "s3.example.com", 443, true),
            (".example.com", "example.com", 443, false),
            ("example.com", "badexample.com", 443, false),
            (" Example.COM ", "s3.example.com", 443, true),
            ("example.com:9000", "example.com", 9000, true),
            ("example.com:9000", "example.com", 443, false),
            ("10.0.0.0/8", "10.1.2.3", 9000, true),
            ("10.0.0.0/8", "11.1.2.3", 9000, false),
            ("10.0.0.0/8", "ten.example.com", 9000, false),
            ("0.0.0.0/0", "192.0.2.7", 9000, true),
            ("192.0.2.7", "192.0.2.7", 9000, true),
            ("192.0.2.7:443", "192.0.2.7", 9000, false),
            ("2001:db8::/32", "2001:db8::5", 9000, true),
            ("2001:db8::5", "2001:db8::5", 9000, true),
            ("[2001:db8::5]:9000", "2001:db8::5", 9000, true),
            ("2001:db8::5", "2001:db8::6", 9000, false),
            ("10.0.0.0/99", "10.1.2.3", 9000, false),
            ("", "s3.example.com", 443, false),
            (":443", "s3.example.com", 443, false),
        ] {
            assert_eq!(matches(entry, host, port), want, "{entry} for {host}:{port}");
        }
    }
}

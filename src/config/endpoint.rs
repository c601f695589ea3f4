// SPDX-License-Identifier: Apache-2.0
//! Where a store is, as `s3-endpoint` and its kin say it, and whether its requests name the bucket in the host.

use anyhow::Result;

use super::layer::Layer;
use super::settings::{bad, boolean, text};
use crate::error::{Code, Fault};

/// Scheme, host and port. A scheme that was written wins over `s3-insecure`.
pub(super) fn of(merged: &Layer) -> Result<String> {
    let insecure = boolean(merged, "s3-insecure")?;
    let said = text(merged, "s3-endpoint").unwrap_or_default().to_ascii_lowercase();
    if said.contains('@') {
        // Not quoted: a password may stand before it.
        return Err(Fault::new(Code::InvalidSetting, "option 's3-endpoint' has a user or a password in it")
            .hint("Leave them out; the keys are options of their own, see k3s-snapshot.conf(5).")
            .into());
    }
    parse(&said, insecure).map_err(|why| bad(merged, "s3-endpoint", why))
}

fn parse(said: &str, insecure: bool) -> Result<String, &'static str> {
    let no_host = "is not a host like s3.example.com:9000";
    let (scheme, rest) = match said.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => (scheme, rest),
        Some(_) => return Err("has a scheme that is neither https nor http"),
        None => (if insecure { "http" } else { "https" }, said),
    };
    let rest = rest.trim_end_matches('/');
    if rest.contains(['/', '?', '#']) {
        return Err("has a path; K3s and S3 want none");
    }
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (rest, None),
    };
    if port.is_some_and(|port| port.parse::<u16>().map_or(true, |number| number == 0)) {
        return Err("has a port that is not a number from 1 to 65535");
    }
    let ok = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None if host.contains(':') => {
            return Err("is an IPv6 address without its brackets, as in [2001:db8::1]:9000");
        }
        None => !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c)),
    };
    if ok { Ok(format!("{scheme}://{rest}")) } else { Err(no_host) }
}

/// As K3s's library decides: the bucket goes into the host name where the big clouds want it, else into the path.
pub(super) fn in_host(merged: &Layer, endpoint: &str, bucket: &str) -> Result<bool> {
    let fits = is_host_label(bucket);
    match text(merged, "s3-bucket-lookup-type").unwrap_or_default().to_ascii_lowercase().as_str() {
        "" | "auto" => {
            let dotted = bucket.contains('.') && endpoint.starts_with("https://");
            Ok(wants_it_there(endpoint) && fits && !dotted)
        }
        "dns" if !fits => {
            Err(bad(merged, "s3-bucket", "cannot be part of a host name; say --s3-bucket-lookup-type path"))
        }
        "dns" => Ok(true),
        "path" => Ok(false),
        _ => Err(bad(merged, "s3-bucket-lookup-type", "is not auto, dns or path")),
    }
}

fn wants_it_there(endpoint: &str) -> bool {
    let host = endpoint.split_once("://").map_or("", |(_, host)| host).split(':').next().unwrap_or_default();
    host.ends_with(".amazonaws.com")
        || host.ends_with(".amazonaws.com.cn")
        || host == "storage.googleapis.com"
        || host.ends_with(".aliyuncs.com")
}

/// Old buckets of the first region have capitals and underscores.
fn is_host_label(bucket: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends = [bucket.bytes().next(), bucket.bytes().next_back()];
    (3..=63).contains(&bucket.len())
        && bucket.bytes().all(|b| plain(b) || b == b'-' || b == b'.')
        && ends.into_iter().flatten().all(plain)
        && !bucket.contains("..")
        && bucket.parse::<std::net::Ipv4Addr>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::layer::Origin;

    #[test]
    fn an_endpoint_is_a_host_with_or_without_scheme_and_port() {
        for (said, insecure, want) in [
            ("s3.example.com", false, Some("https://s3.example.com")),
            ("s3.example.com", true, Some("http://s3.example.com")),
            ("https://s3.example.com/", true, Some("https://s3.example.com")),
            ("http://10.0.0.1:9000", false, Some("http://10.0.0.1:9000")),
            ("minio:9000", true, Some("http://minio:9000")),
            ("[2001:db8::1]", false, Some("https://[2001:db8::1]")),
            ("http://[::1]:9000/", false, Some("http://[::1]:9000")),
            ("", false, None),
            ("https://", false, None),
            ("s3.example.com/path", false, None),
            ("https://s3.example.com/?x", false, None),
            ("ftp://s3.example.com", false, None),
            ("user:word@s3.example.com", false, None),
            ("s3.example.com:port", false, None),
            ("s3.example.com:0", false, None),
            ("s3.example.com:99999", false, None),
            ("s3.example.com:", false, None),
            ("2001:db8::1", false, None),
            ("[2001:db8::1", false, None),
            ("[s3.example.com]", false, None),
            ("s3 example com", false, None),
        ] {
            assert_eq!(parse(said, insecure).ok().as_deref(), want, "{said}");
        }
    }

    #[test]
    fn the_bucket_is_in_the_host_where_the_big_clouds_want_it() {
        for (kind, endpoint, bucket, want) in [
            ("auto", "https://s3.amazonaws.com", "backups", Some(true)),
            ("", "https://s3.eu-west-1.amazonaws.com", "backups", Some(true)),
            ("AUTO", "https://s3.amazonaws.com", "back.ups", Some(false)),
            ("auto", "http://s3.amazonaws.com", "back.ups", Some(true)),
            ("auto", "https://s3.amazonaws.com", "Back_Ups", Some(false)),
            ("auto", "https://minio.example.com:9000", "backups", Some(false)),
            ("auto", "https://oss-cn-x.aliyuncs.com", "backups", Some(true)),
            ("auto", "https://amazonaws.com.example.com", "backups", Some(false)),
            ("dns", "https://minio.example.com:9000", "backups", Some(true)),
            ("dns", "https://minio.example.com:9000", "Back_Ups", None),
            ("path", "https://s3.amazonaws.com", "backups", Some(false)),
            ("guess", "https://s3.amazonaws.com", "backups", None),
        ] {
            let mut merged = Layer::default();
            merged.set("s3-bucket-lookup-type", vec![kind.to_owned()], Origin::Default);
            assert_eq!(in_host(&merged, endpoint, bucket).ok(), want, "{kind} {endpoint} {bucket}");
        }
    }
}

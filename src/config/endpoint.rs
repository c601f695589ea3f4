// SPDX-License-Identifier: Apache-2.0
//! The endpoint of a bucket, and whether requests have the bucket in the host name.

use anyhow::Result;

use super::layer::Layer;
use super::options::OptionId;
use crate::error::{Code, Fault};

/// Scheme, host and port. A scheme in `s3-endpoint` overrides `s3-insecure`.
///
/// # Errors
/// If the endpoint is not a host, or has a path, a user or a password.
pub(super) fn endpoint(merged: &Layer) -> Result<String> {
    let insecure = merged.bool(OptionId::S3Insecure)?;
    let text = merged.get_str(OptionId::S3Endpoint).unwrap_or_default().to_ascii_lowercase();
    if text.contains('@') {
        // Not quoted: the part before it may be a password.
        let message = "option 's3-endpoint' has a user or a password in it";
        return Err(Fault::new(Code::InvalidSetting, message)
            .hint("Remove them, and set the options for the keys; see k3s-snapshot.conf(5).")
            .into());
    }
    parse(&text, insecure).map_err(|reason| merged.invalid_value(OptionId::S3Endpoint, reason))
}

fn parse(text: &str, insecure: bool) -> Result<String, &'static str> {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => (scheme, rest),
        Some(_) => return Err("has a scheme that is neither https nor http"),
        None => (if insecure { "http" } else { "https" }, text),
    };
    let rest = rest.trim_end_matches('/');
    if rest.is_empty() {
        return Err("is empty; it must be a host like s3.example.com:9000");
    }
    if rest.contains(['/', '?', '#']) {
        return Err("has a path, which K3s and S3 do not allow");
    }
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (rest, None),
    };
    if port.is_some_and(|port| port.parse::<u16>().map_or(true, |number| number == 0)) {
        return Err("has a port that is not a number from 1 to 65535");
    }
    let is_host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None if host.contains(':') => {
            return Err("is an IPv6 address without its brackets, as in [2001:db8::1]:9000");
        }
        None => !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c)),
    };
    if is_host { Ok(format!("{scheme}://{rest}")) } else { Err("is not a host like s3.example.com:9000") }
}

/// Whether the bucket is part of the host name (virtual-hosted style) and not of the path. With `auto` the rules are those of
/// the S3 library of K3s: the large clouds want it in the host name.
///
/// # Errors
/// If `s3-bucket-lookup-type` is wrong, or requires a bucket name that a host name cannot have.
pub(super) fn virtual_host_style(merged: &Layer, endpoint: &str, bucket: &str) -> Result<bool> {
    let fits = is_host_label(bucket);
    let lookup = merged.get_str(OptionId::S3BucketLookupType).unwrap_or_default();
    match lookup.to_ascii_lowercase().as_str() {
        "" | "auto" => {
            let dotted = bucket.contains('.') && endpoint.starts_with("https://");
            Ok(prefers_virtual_host(endpoint) && fits && !dotted)
        }
        "dns" if !fits => Err(merged.invalid_value(
            OptionId::S3Bucket,
            "cannot be part of a host name; use --s3-bucket-lookup-type path",
        )),
        "dns" => Ok(true),
        "path" => Ok(false),
        _ => Err(merged.invalid_value(OptionId::S3BucketLookupType, "is not auto, dns or path")),
    }
}

fn prefers_virtual_host(endpoint: &str) -> bool {
    let host = endpoint.split_once("://").map_or("", |(_, host)| host).split(':').next().unwrap_or_default();
    host.ends_with(".amazonaws.com")
        || host.ends_with(".amazonaws.com.cn")
        || host == "storage.googleapis.com"
        || host.ends_with(".aliyuncs.com")
}

/// Old buckets of the first region can have capitals and underscores, which a host name cannot.
fn is_host_label(bucket: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends = [bucket.bytes().next(), bucket.bytes().next_back()];
    (3..=63).contains(&bucket.len())
        && bucket.bytes().all(|b| is_plain(b) || b == b'-' || b == b'.')
        && ends.into_iter().flatten().all(is_plain)
        && !bucket.contains("..")
        && bucket.parse::<std::net::Ipv4Addr>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::layer::Origin;

    #[test]
    fn an_endpoint_is_a_host_with_or_without_scheme_and_port() {
        for (text, insecure, want) in [
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
            assert_eq!(parse(text, insecure).ok().as_deref(), want, "{text}");
        }
    }

    #[test]
    fn the_bucket_is_in_the_host_name_for_the_large_clouds() {
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
            merged.set(OptionId::S3BucketLookupType, vec![kind.to_owned()], Origin::Default);
            assert_eq!(
                virtual_host_style(&merged, endpoint, bucket).ok(),
                want,
                "{kind} {endpoint} {bucket}"
            );
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
//! TLS where `s3-endpoint-ca` names whom to believe. Beside authorities that may be the store's very certificate, which
//! then needs no other to vouch for it: so stores sign theirs at home, and so K3s takes them. rustls alone would not,
//! as such a certificate says of itself that it is an authority.

use std::fmt;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme, StreamOwned,
};
use ureq::Agent;
use ureq::config::Config;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout,
    TcpConnector, Transport, TransportAdapter,
};

use super::error::{S3Error, S3ErrorKind};

/// An agent that believes these certificates and those that they signed, and no others.
pub(super) fn agent(config: Config, given: Vec<CertificateDer<'static>>) -> Result<Agent, S3Error> {
    let wrong = |e: &dyn fmt::Display| {
        S3Error::of(S3ErrorKind::Config, format!("s3-endpoint-ca holds no certificate that can be used: {e}"))
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(given.iter().cloned());
    let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|e| wrong(&e))?;
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| wrong(&e))?
        .dangerous() // the name for any verifier that is not rustls's own
        .with_custom_certificate_verifier(Arc::new(Verifier { chain, given }))
        .with_no_client_auth();
    let connector = ().chain(ConnectProxyConnector::default()).chain(TcpConnector::default());
    Ok(Agent::with_parts(config, connector.chain(Tls(Arc::new(tls))), DefaultResolver::default()))
}

#[derive(Debug)]
struct Verifier {
    chain: Arc<WebPkiServerVerifier>,
    given: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if !self.given.iter().any(|given| given == shown) {
            return self.chain.verify_server_cert(shown, others, name, ocsp, now);
        }
        verify_server_name(&ParsedCertificate::try_from(shown)?, name)?;
        let bad = Error::InvalidCertificate;
        let (from, until) = validity(shown).ok_or(bad(CertificateError::BadEncoding))?;
        let seconds = now.as_secs();
        if seconds < from {
            let not_before = UnixTime::since_unix_epoch(Duration::from_secs(from));
            return Err(bad(CertificateError::NotValidYetContext { time: now, not_before }));
        }
        if seconds > until {
            let not_after = UnixTime::since_unix_epoch(Duration::from_secs(until));
            return Err(bad(CertificateError::ExpiredContext { time: now, not_after }));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// From when and until when a certificate holds, in seconds since the epoch. It is the fifth field behind an optional
/// version: serial, algorithm, issuer, validity.
fn validity(der: &[u8]) -> Option<(u64, u64)> {
    let (tag, certificate, _) = field(der)?;
    let (inner, content, _) = field(certificate)?;
    let (first, _, after_version) = field(content)?;
    let rest = if first == 0xa0 { after_version } else { content };
    let (_, _, rest) = field(rest)?;
    let (_, _, rest) = field(rest)?;
    let (_, _, rest) = field(rest)?;
    let (kind, validity, _) = field(rest)?;
    let (from_tag, from, rest) = field(validity)?;
    let (until_tag, until, _) = field(rest)?;
    let sound = tag == 0x30 && inner == 0x30 && kind == 0x30;
    sound.then_some(())?;
    Some((time(from_tag, from)?, time(until_tag, until)?))
}

/// The first field of some DER: its tag, its content, what comes behind it.
fn field(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, length], rest) = der.split_first_chunk::<2>()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            (bytes.iter().fold(0, |all, byte| all << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDhhmmssZ` until 2049, `YYYYMMDDhhmmssZ` after that.
fn time(tag: u8, text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let full = match tag {
        0x17 if text.len() == 12 && text < "50" => format!("20{text}"),
        0x17 if text.len() == 12 => format!("19{text}"),
        0x18 if text.len() == 14 => text.to_owned(),
        _ => return None,
    };
    let civil = jiff::civil::DateTime::strptime("%Y%m%d%H%M%S", full).ok()?;
    u64::try_from(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second()).ok()
}

/// Wraps a connection for https into TLS.
#[derive(Debug)]
struct Tls(Arc<ClientConfig>);

impl<In: Transport> Connector<In> for Tls {
    type Out = Either<In, Wrapped>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(below) = chained else { return Ok(None) };
        if !details.needs_tls() || below.is_tls() {
            return Ok(Some(Either::A(below)));
        }
        let host = details.uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| ureq::Error::Tls("the host's name cannot be in a certificate"))?;
        let mut tls = ClientConnection::new(Arc::clone(&self.0), name)?;
        let mut below = TransportAdapter::new(below.boxed(), Arc::clone(&details.current_time));
        below.set_timeout(details.timeout);
        tls.complete_io(&mut below)?;
        let sizes = (details.config.input_buffer_size(), details.config.output_buffer_size());
        let buffers = LazyBuffers::new(sizes.0, sizes.1);
        Ok(Some(Either::B(Wrapped { buffers, stream: StreamOwned::new(tls, below) })))
    }
}

struct Wrapped {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl fmt::Debug for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a TLS connection")
    }
}

impl Transport for Wrapped {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.sock.set_timeout(timeout);
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        Ok(self.stream.write_all(output)?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.sock.set_timeout(timeout);
        let read = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(read);
        Ok(read > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.sock.get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_both_forms() {
        for (tag, text, want) in [
            (0x17, "261122101500Z", Some(1_795_342_500)),
            (0x17, "700101000000Z", Some(0)),
            (0x18, "20500101000000Z", Some(2_524_608_000)),
            (0x17, "20261122101500Z", None),
            (0x18, "261122101500Z", None),
            (0x17, "261322101500Z", None),
            (0x17, "261122101500", None),
        ] {
            assert_eq!(time(tag, text.as_bytes()), want, "{text}");
        }
    }

    /// Signed by itself, for 192.0.2.1, an authority by its own word.
    const HOME_MADE: &str = "\
        MIIBhjCCASygAwIBAgIUbIS3pwF3Zp6ghiQujZ+olQOTJOMwCgYIKoZIzj0EAwIwEDEOMAwGA1UEAwwFc3RvcmUwHhcNMjYxMTI0\
        MTQyMjIzWhcNMjkwODIwMTQyMjIzWjAQMQ4wDAYDVQQDDAVzdG9yZTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNkHVT+7oMsn\
        CahmenooPX/GtrjnyDbTm4IPEOi0Kv0dPEBgtk6gFiifJYDLY4hOOTSod9iPYogHKm1C8ihvdn+jZDBiMB0GA1UdDgQWBBQe8SxK\
        /meUJPzuD/OZJu36q2JukDAfBgNVHSMEGDAWgBQe8SxK/meUJPzuD/OZJu36q2JukDAPBgNVHRMBAf8EBTADAQH/MA8GA1UdEQQI\
        MAaHBMAAAgEwCgYIKoZIzj0EAwIDSAAwRQIhAI2GjaYB0m1xwK0nSalavKXPZ64Oh59zzpfdd8iN3AzRAiAmnDFoVz48AhSjnChs\
        fb1PxoP5U2Giljm2IgIbYBE7Xw==";
    const FROM: u64 = 1795530143;
    const UNTIL: u64 = 1881930143;

    #[test]
    fn a_certificate_that_is_named_is_held_to_its_name_and_its_time() {
        use base64::Engine;
        let der = base64::engine::general_purpose::STANDARD.decode(HOME_MADE.replace(' ', "")).unwrap();
        assert_eq!(validity(&der), Some((FROM, UNTIL)));
        let der = CertificateDer::from(der);
        let mut roots = RootCertStore::empty();
        roots.add(der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let named = Verifier { chain: Arc::clone(&chain), given: vec![der.clone()] };
        let alone = Verifier { chain, given: vec![] };
        for (verifier, name, at, want) in [
            (&named, "192.0.2.1", FROM, ""),
            (&named, "192.0.2.1", UNTIL, ""),
            (&named, "192.0.2.1", FROM - 1, "not valid yet"),
            (&named, "192.0.2.1", UNTIL + 1, "expired"),
            (&named, "192.0.2.2", FROM, "not valid for name"),
            (&named, "store", FROM, "not valid for name"),
            (&alone, "192.0.2.1", FROM, "CaUsedAsEndEntity"),
        ] {
            let name = ServerName::try_from(name).unwrap();
            let now = UnixTime::since_unix_epoch(Duration::from_secs(at));
            let said = match verifier.verify_server_cert(&der, &[], &name, &[], now) {
                Ok(_) => String::new(),
                Err(e) => e.to_string(),
            };
            assert!(said.contains(want) && said.is_empty() == want.is_empty(), "{name:?} at {at}: {said}");
        }
    }

    #[test]
    fn damaged_certificates_have_no_validity() {
        for der in
            [&b""[..], b"\x30", b"\x30\x80", b"\x30\x84\xff\xff\xff\xff", b"\x30\x02\x30\x00", &[0x30; 64]]
        {
            assert_eq!(validity(der), None, "{der:x?}");
        }
    }
}

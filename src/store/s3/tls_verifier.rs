// SPDX-License-Identifier: Apache-2.0
//! TLS with the certificates of `s3-endpoint-ca`. Each is an authority, or the certificate of the store itself, which
//! then needs no authority: many stores have such a certificate, and K3s accepts it. rustls alone does not, because the
//! certificate says of itself that it is an authority.

use std::fmt;
use std::io::{Read, Write};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme, StreamOwned,
};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport, TransportAdapter,
};

use super::error::{S3Error, S3ErrorKind};

/// A connector that trusts these certificates, and those that they signed, and no others.
pub(super) fn connector(trusted: Vec<CertificateDer<'static>>) -> Result<TlsConnector, S3Error> {
    let unusable = |e: &dyn fmt::Display| {
        S3Error::new(S3ErrorKind::Config, format!("no certificate of s3-endpoint-ca can be used: {e}"))
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trusted.iter().cloned());
    let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|e| unusable(&e))?;
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| unusable(&e))?
        .dangerous() // the name for every verifier but that of rustls
        .with_custom_certificate_verifier(Arc::new(Verifier { chain, trusted }))
        .with_no_client_auth();
    Ok(TlsConnector(Arc::new(tls)))
}

#[derive(Debug)]
struct Verifier {
    chain: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = self.chain.verify_server_cert(shown, intermediates, name, ocsp, now);
        match chain {
            Err(e) if is_about_issuer(&e) && self.trusted.iter().any(|trusted| trusted == shown) => {
                verify_server_name(&ParsedCertificate::try_from(shown)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
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

/// Whether an error is only about who signed a certificate, or about its being an authority. webpki looks at the time
/// before it looks at these (`check_issuer_independent_properties`), so such a certificate is valid now. A test holds
/// webpki to this order.
fn is_about_issuer(error: &Error) -> bool {
    let Error::InvalidCertificate(error) = error else { return false };
    match error {
        CertificateError::UnknownIssuer
        | CertificateError::BadSignature
        | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => true,
        CertificateError::Other(other) => {
            let inner = other.0.downcast_ref::<webpki::Error>();
            matches!(inner, Some(webpki::Error::CaUsedAsEndEntity))
        }
        _ => false,
    }
}

/// Adds TLS to a connection for HTTPS.
#[derive(Debug)]
pub(super) struct TlsConnector(Arc<ClientConfig>);

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Either<In, TlsTransport>;

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
            .map_err(|_| ureq::Error::Tls("the host name cannot be in a certificate"))?;
        let mut tls = ClientConnection::new(Arc::clone(&self.0), name)?;
        let mut below = TransportAdapter::new(below.boxed(), Arc::clone(&details.current_time));
        below.set_timeout(details.timeout);
        tls.complete_io(&mut below)?;
        let sizes = (details.config.input_buffer_size(), details.config.output_buffer_size());
        let buffers = LazyBuffers::new(sizes.0, sizes.1);
        Ok(Some(Either::B(TlsTransport { buffers, stream: StreamOwned::new(tls, below) })))
    }
}

pub(super) struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a TLS connection")
    }
}

impl Transport for TlsTransport {
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
    use std::time::Duration;

    /// Self-signed, for 192.0.2.1, and an authority.
    const SELF_SIGNED: &str = "\
        MIIBhjCCASygAwIBAgIUbIS3pwF3Zp6ghiQujZ+olQOTJOMwCgYIKoZIzj0EAwIwEDEOMAwGA1UEAwwFc3RvcmUwHhcNMjYxMTI0\
        MTQyMjIzWhcNMjkwODIwMTQyMjIzWjAQMQ4wDAYDVQQDDAVzdG9yZTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNkHVT+7oMsn\
        CahmenooPX/GtrjnyDbTm4IPEOi0Kv0dPEBgtk6gFiifJYDLY4hOOTSod9iPYogHKm1C8ihvdn+jZDBiMB0GA1UdDgQWBBQe8SxK\
        /meUJPzuD/OZJu36q2JukDAfBgNVHSMEGDAWgBQe8SxK/meUJPzuD/OZJu36q2JukDAPBgNVHRMBAf8EBTADAQH/MA8GA1UdEQQI\
        MAaHBMAAAgEwCgYIKoZIzj0EAwIDSAAwRQIhAI2GjaYB0m1xwK0nSalavKXPZ64Oh59zzpfdd8iN3AzRAiAmnDFoVz48AhSjnChs\
        fb1PxoP5U2Giljm2IgIbYBE7Xw==";
    const FROM: u64 = 1795530143;
    const UNTIL: u64 = 1881930143;

    #[derive(Debug, PartialEq)]
    enum Outcome {
        Accepted,
        NotYetValid,
        Expired,
        OtherName,
        NoLeaf,
        Other(String),
    }

    fn outcome(verifier: &Verifier, der: &CertificateDer<'_>, name: &str, at: u64) -> Outcome {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(at));
        match verifier.verify_server_cert(der, &[], &name, &[], now) {
            Ok(_) => Outcome::Accepted,
            Err(Error::InvalidCertificate(CertificateError::NotValidYetContext { .. })) => {
                Outcome::NotYetValid
            }
            Err(Error::InvalidCertificate(CertificateError::ExpiredContext { .. })) => Outcome::Expired,
            Err(Error::InvalidCertificate(CertificateError::NotValidForNameContext { .. })) => {
                Outcome::OtherName
            }
            Err(e) if is_about_issuer(&e) => Outcome::NoLeaf,
            Err(e) => Outcome::Other(e.to_string()),
        }
    }

    #[test]
    fn a_trusted_certificate_must_have_the_right_name_and_be_valid_now() {
        use base64::Engine;
        let der = base64::engine::general_purpose::STANDARD.decode(SELF_SIGNED.replace(' ', "")).unwrap();
        let der = CertificateDer::from(der);
        let mut roots = RootCertStore::empty();
        roots.add(der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let trusting = Verifier { chain: Arc::clone(&chain), trusted: vec![der.clone()] };
        let authority_only = Verifier { chain, trusted: vec![] };
        for (verifier, name, at, want) in [
            (&trusting, "192.0.2.1", FROM, Outcome::Accepted),
            (&trusting, "192.0.2.1", UNTIL, Outcome::Accepted),
            (&trusting, "192.0.2.1", FROM - 1, Outcome::NotYetValid),
            (&trusting, "192.0.2.1", UNTIL + 1, Outcome::Expired),
            (&trusting, "192.0.2.2", FROM, Outcome::OtherName),
            (&trusting, "store", FROM, Outcome::OtherName),
            (&authority_only, "192.0.2.1", FROM, Outcome::NoLeaf),
            (&authority_only, "192.0.2.1", UNTIL + 1, Outcome::Expired),
        ] {
            assert_eq!(outcome(verifier, &der, name, at), want, "{name} at {at}");
        }
    }
}

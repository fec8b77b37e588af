//! TLS: settings, and the configurations made of them, once and shared.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::reason;
use crate::lint::Lint;
use crate::outcome::{Failure, excerpt};

/// The settings of TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tls {
    /// Name asked for (SNI) and verified; none: no name is asked for, and none verified.
    pub name: Option<String>,
    /// File of certificates that the server's has to descend from; none: the machine's.
    pub authorities: Option<PathBuf>,
    /// Accept any certificate.
    pub unverified: bool,
}

impl Tls {
    pub(crate) fn lint(&self, lint: &mut Lint) {
        match &self.authorities {
            _ if self.unverified => {}
            None if lint.has_verify => {}
            None => lint.warn(
                "the server's certificate is verified with the authorities of this machine: one of a private \
                 authority, or of none, means down",
                "name its authority with cafile, or write verify = no; verify = yes says that this is meant",
            ),
            Some(path) if !path.is_file() => {
                let problem = format!("the check can never hold: there is no file {}", path.display());
                lint.warn(problem, "cafile names a file of certificates (PEM)");
            }
            Some(_) => {}
        }
    }
}

/// The extent to which a server's certificate is verified.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Verification {
    /// Nothing.
    None,
    /// That it descends from an authority: one of a file's, or of the machine's.
    Chain(Option<PathBuf>),
    /// That, and that it is made out for the name that was asked for.
    Name(Option<PathBuf>),
}

/// TLS configurations by the extent of verification: to make one costs milliseconds and a megabyte.
#[derive(Debug, Default)]
pub struct Configurations(Mutex<HashMap<Verification, Arc<ClientConfig>>>);

impl Configurations {
    /// Makes the handshake, on a stream that is connected to `server`.
    pub(super) async fn handshake(
        &self,
        tls: &Tls,
        server: IpAddr,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, Failure> {
        // An address as name sends no SNI (RFC 6066, section 3).
        let name = match &tls.name {
            Some(name) => ServerName::try_from(name.clone())
                .map_err(|_| Failure::Own(format!("\"{name}\" is no name for TLS")))?,
            None => ServerName::from(server),
        };
        let configuration = self.get(tls)?;
        TlsConnector::from(configuration)
            .connect(name, stream)
            .await
            .map_err(|error| Failure::Io {
                awaited: "TLS handshake",
                source: in_words(error),
            })
    }

    fn get(&self, tls: &Tls) -> Result<Arc<ClientConfig>, Failure> {
        let wanted = match (tls.unverified, &tls.name) {
            (true, _) => Verification::None,
            (false, None) => Verification::Chain(tls.authorities.clone()),
            (false, Some(_)) => Verification::Name(tls.authorities.clone()),
        };
        let mut made = self.0.lock();
        if let Some(configuration) = made.get(&wanted) {
            return Ok(Arc::clone(configuration));
        }
        let configuration = Arc::new(configure(&wanted).map_err(Failure::Own)?);
        made.insert(wanted, Arc::clone(&configuration));
        Ok(configuration)
    }
}

fn configure(verification: &Verification) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let (authorities, name) = match verification {
        Verification::None => (None, false),
        Verification::Chain(file) => (Some(Authorities::read(file.as_deref())?), false),
        Verification::Name(file) => (Some(Authorities::read(file.as_deref())?), true),
    };
    let verifier = Arc::new(Verifier {
        authorities,
        name,
        provider: Arc::clone(&provider),
    });
    let mut configuration = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    // A resumed session shows no certificate.
    configuration.resumption = Resumption::disabled();
    Ok(configuration)
}

/// An error of TLS in words.
pub(super) fn in_words(error: io::Error) -> io::Error {
    match words(&error) {
        Some(text) => io::Error::new(error.kind(), text),
        None => error,
    }
}

/// Words for an error of TLS, if it is one for which there are better ones than its own.
pub(crate) fn words(error: &io::Error) -> Option<String> {
    match error.get_ref()?.downcast_ref()? {
        rustls::Error::InvalidCertificate(wrong) => Some(certificate(wrong)),
        rustls::Error::InvalidMessage(_) => Some("the server does not speak TLS".to_owned()),
        rustls::Error::AlertReceived(alert) => {
            // `HandshakeFailure`
            let mut name = String::new();
            for letter in format!("{alert:?}").chars() {
                if letter.is_uppercase() && !name.is_empty() {
                    name.push(' ');
                }
                name.extend(letter.to_lowercase());
            }
            Some(format!("the server refused it by the TLS alert \"{name}\""))
        }
        _ => None,
    }
}

/// The fault of a certificate.
fn certificate(wrong: &CertificateError) -> String {
    use CertificateError as Wrong;
    match wrong {
        Wrong::UnknownIssuer => "the certificate is of an unknown authority".to_owned(),
        Wrong::Expired | Wrong::ExpiredContext { .. } => "the certificate has expired".to_owned(),
        Wrong::NotValidYet | Wrong::NotValidYetContext { .. } => {
            "the certificate is not valid yet".to_owned()
        }
        Wrong::Revoked => "the certificate is revoked".to_owned(),
        Wrong::NotValidForName => "the certificate is for another name".to_owned(),
        Wrong::NotValidForNameContext { presented, .. } => {
            // Each is `DnsName("www.example.com")`.
            let names = presented
                .iter()
                .map(|name| name.split('"').nth(1).unwrap_or(name));
            let names = names.collect::<Vec<_>>().join(", ");
            format!("the certificate is for {}", excerpt(names.as_bytes()))
        }
        Wrong::Other(other) => format!("the certificate is not accepted: {}", other.0),
        other => format!("the certificate is not accepted: {other}"),
    }
}

/// Authorities that are believed.
#[derive(Debug)]
struct Authorities {
    roots: RootCertStore,
    /// The certificates of a file: a server that has one of them for its own needs no other authority.
    own: Vec<CertificateDer<'static>>,
}

impl Authorities {
    /// Those of a file, or the machine's.
    fn read(file: Option<&Path>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        let mut own = Vec::new();
        let Some(file) = file else {
            // Those that cannot be read are left out, as by every other program.
            let native = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(native.certs);
            return Ok(Self { roots, own });
        };
        let unreadable = |why: String| format!("cannot read {}: {why}", file.display());
        let pem = std::fs::read(file).map_err(|error| unreadable(reason(&error)))?;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
            roots
                .add(certificate.clone())
                .map_err(|error| unreadable(error.to_string()))?;
            own.push(certificate);
        }
        if own.is_empty() {
            return Err(unreadable("no certificate in it".to_owned()));
        }
        Ok(Self { roots, own })
    }
}

/// Verifies a server's certificate as far as it is wanted. That the server holds the certificate's
/// key is verified in any case.
#[derive(Debug)]
struct Verifier {
    /// None: any certificate is accepted.
    authorities: Option<Authorities>,
    /// It has to be made out for the name that was asked for.
    name: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(authorities) = &self.authorities else {
            return Ok(ServerCertVerified::assertion());
        };
        let parsed = ParsedCertificate::try_from(certificate)?;
        if !authorities.own.contains(certificate) {
            verify_server_cert_signed_by_trust_anchor(
                &parsed,
                &authorities.roots,
                intermediates,
                now,
                self.provider.signature_verification_algorithms.all,
            )?;
        }
        if self.name {
            verify_server_name(&parsed, name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests;

//! TLS of the listener.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::users::is_exposed;

/// Certificate and key that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file has none in it, or cannot be read.
    #[error("{file}: no {what} in PEM: {error}", file = .file.display())]
    Pem {
        /// The file.
        file: PathBuf,
        /// The content that it should have.
        what: &'static str,
        /// The reason.
        error: rustls::pki_types::pem::Error,
    },
    /// Everybody on the machine may read or change the key.
    #[error("{file} may be read or changed by everybody: chmod o= {file}", file = .0.display())]
    Exposed(PathBuf),
    /// They do not belong together, or are of a kind that is not known.
    #[error("{certificate} and {key}: {error}", certificate = .certificate.display(), key = .key.display())]
    Unusable {
        /// File of the certificate.
        certificate: PathBuf,
        /// File of its key.
        key: PathBuf,
        /// The reason.
        error: rustls::Error,
    },
}

/// The configuration of a server with this chain of certificates and its key.
pub(crate) fn configuration(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let pem = |file: &Path, what| {
        let file = file.to_owned();
        move |error| TlsError::Pem { file, what, error }
    };
    let chain =
        CertificateDer::pem_file_iter(certificate).map_err(pem(certificate, "certificate"))?;
    let chain: Result<Vec<_>, _> = chain.collect();
    let chain = chain.map_err(pem(certificate, "certificate"))?;
    let unreadable = |error| TlsError::Pem {
        file: key.to_owned(),
        what: "key",
        error: rustls::pki_types::pem::Error::Io(error),
    };
    if is_exposed(key).map_err(unreadable)? {
        return Err(TlsError::Exposed(key.to_owned()));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(pem(key, "key"))?;
    let unusable = |error| TlsError::Unusable {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        error,
    };
    let provider = Arc::new(ring::default_provider());
    let versions =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = versions.map_err(unusable)?.with_no_client_auth();
    let mut configuration = builder.with_single_cert(chain, private).map_err(unusable)?;
    configuration.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(configuration))
}

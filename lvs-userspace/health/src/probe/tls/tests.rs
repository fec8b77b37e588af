use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::check::{Check, Kind};
use crate::checkers::http::Http;
use crate::checkers::tls::Handshake;
use crate::credentials::Credentials;
use crate::prober::Prober;
use crate::testing::{assert_gives_up, assert_says, check, negotiate, serve};

/// A private authority, whose certificate is in a file, and a server that it vouches for.
struct Site {
    _folder: TempDir,
    authorities: PathBuf,
    /// The server's own certificate.
    certificate: String,
    address: SocketAddr,
    /// Name that the server was asked for (SNI) in each completed handshake.
    asked: UnboundedReceiver<Option<String>>,
}

/// A server with a certificate for these names, that says `HTTP/1.1 200` to everything.
async fn site(names: &[&str], expired: bool) -> Site {
    let folder = TempDir::new().unwrap();
    let authorities = folder.path().join("ca.pem");
    let mut authority = CertificateParams::new(vec![]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let root = authority.self_signed(&authority_key).unwrap();
    std::fs::write(&authorities, root.pem()).unwrap();
    let issuer = Issuer::new(authority, authority_key);

    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    if expired {
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    }
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let configuration = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(configuration));
    let (log, asked) = unbounded_channel();
    let address = serve(move |stream| {
        let acceptor = acceptor.clone();
        let log = log.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            log.send(stream.get_ref().1.server_name().map(str::to_owned))
                .ok();
            let mut question = Vec::new();
            while !question.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else {
                    return;
                };
                question.push(byte);
            }
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret";
            stream.write_all(answer).await.ok();
            stream.shutdown().await.ok();
        }
    })
    .await;
    Site {
        _folder: folder,
        authorities,
        certificate: certificate.pem(),
        address,
        asked,
    }
}

impl Site {
    fn tls(&self, name: Option<&str>, own_authority: bool, unverified: bool) -> Tls {
        Tls {
            name: name.map(str::to_owned),
            authorities: own_authority.then(|| self.authorities.clone()),
            unverified,
        }
    }
}

#[tokio::test]
async fn certificates_are_verified_as_far_as_it_is_wanted() {
    let mut site = site(&["www.example.com"], false).await;
    let name = Some("www.example.com");
    for (tls, good, rest) in [
        (site.tls(name, true, false), true, ""),
        // The chain, but no name.
        (site.tls(None, true, false), true, ""),
        (
            site.tls(Some("other.example.com"), true, false),
            false,
            ": the certificate is for \"www.example.com\"",
        ),
        // The machine does not know the authority.
        (
            site.tls(name, false, false),
            false,
            "the certificate is of an unknown authority",
        ),
        (
            site.tls(None, false, false),
            false,
            "the certificate is of an unknown authority",
        ),
        (site.tls(None, false, true), true, ""),
        (site.tls(Some("other.example.com"), false, true), true, ""),
    ] {
        let outcome = negotiate(Handshake(tls.clone()), site.address).await;
        assert_eq!(outcome.good, good, "{tls:?}: {}", outcome.text);
        let begin = if good { "" } else { "no " };
        let begin = format!("{begin}TLS handshake with {} after ", site.address);
        assert!(outcome.text.starts_with(&begin), "{}", outcome.text);
        assert!(outcome.text.contains(rest), "{}", outcome.text);
        if good {
            assert_eq!(site.asked.recv().await, Some(tls.name));
        }
    }
}

#[tokio::test]
async fn a_server_may_be_its_own_authority() {
    let folder = TempDir::new().unwrap();
    let mut site = site(&["www.example.com"], false).await;
    let file = folder.path().join("server.pem");
    std::fs::write(&file, &site.certificate).unwrap();
    site.authorities = file;
    for (name, good) in [
        (None, true),
        (Some("www.example.com"), true),
        (Some("other.example.com"), false),
    ] {
        let outcome = negotiate(Handshake(site.tls(name, true, false)), site.address).await;
        assert_eq!(outcome.good, good, "{}", outcome.text);
    }
}

#[tokio::test]
async fn an_expired_certificate_is_told() {
    let site = site(&["www.example.com"], true).await;
    for name in [None, Some("www.example.com")] {
        let outcome = negotiate(Handshake(site.tls(name, true, false)), site.address).await;
        assert!(!outcome.good, "{}", outcome.text);
        assert!(
            outcome.text.contains("the certificate has expired"),
            "{}",
            outcome.text
        );
    }
}

#[tokio::test]
async fn a_file_of_authorities_has_to_be_one() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("ca.pem");
    let tls = Tls {
        authorities: Some(file.clone()),
        ..Tls::default()
    };
    let server = serve(|_| async {}).await;
    let path = file.display();
    let outcome = negotiate(Handshake(tls.clone()), server).await;
    let text = format!("{server} not probed: cannot read {path}: no such file or directory");
    assert_says(&outcome, false, &text);
    std::fs::write(&file, "nothing").unwrap();
    let outcome = negotiate(Handshake(tls), server).await;
    let text = format!("{server} not probed: cannot read {path}: no certificate in it");
    assert_says(&outcome, false, &text);
}

#[tokio::test]
async fn a_configuration_is_made_once() {
    let site = site(&["www.example.com"], false).await;
    let prober = Prober::default();
    let kind = Kind::Negotiate(Handshake(site.tls(None, true, false)).into());
    for _ in 0..2 {
        let outcome = prober.run(&check(kind.clone(), site.address)).await;
        assert!(outcome.good, "{}", outcome.text);
        // The file is not needed again.
        std::fs::remove_file(&site.authorities).ok();
    }
}

#[tokio::test]
async fn a_server_that_does_not_speak_tls_is_told() {
    let server = serve(|mut stream| async move {
        stream.write_all(b"220 plain text\r\n").await.ok();
        stream.read_to_end(&mut Vec::new()).await.ok();
    })
    .await;
    let outcome = negotiate(Handshake(Tls::default()), server).await;
    let begin = format!("no TLS handshake with {server} after ");
    assert!(outcome.text.starts_with(&begin), "{}", outcome.text);
    assert!(
        outcome.text.contains("does not speak TLS"),
        "{}",
        outcome.text
    );

    let server = serve(|_| async {}).await;
    let outcome = negotiate(Handshake(Tls::default()), server).await;
    let begin = format!("no TLS handshake with {server} after ");
    assert!(outcome.text.starts_with(&begin), "{}", outcome.text);
}

#[tokio::test]
async fn a_handshake_that_hangs_is_given_up() {
    let server = serve(|mut stream| async move {
        stream.read_to_end(&mut Vec::new()).await.ok();
    })
    .await;
    assert_gives_up(Handshake(Tls::default()), server, "TLS handshake with").await;
}

#[tokio::test]
async fn https_is_http_within_tls() {
    let site = site(&["www.example.com"], false).await;
    let http = Http {
        method: "GET".to_owned(),
        request: "/".to_owned(),
        virtual_host: Some("www.example.com".to_owned()),
        status: vec![],
        receive: Some(crate::pattern::Pattern::compile("^secret$", false).unwrap()),
        credentials: Credentials::default(),
        redirects: 0,
        limits: crate::checkers::http::Limits::default(),
        tls: Some(site.tls(Some("www.example.com"), true, false)),
    };
    let outcome = negotiate(http.clone(), site.address).await;
    assert_says(
        &outcome,
        true,
        &format!("HTTP 200 from {} after N ms", site.address),
    );

    let stranger = Http {
        tls: Some(site.tls(Some("www.example.com"), false, false)),
        ..http
    };
    let check: Check = check(Kind::Negotiate(stranger.into()), site.address);
    let outcome = Prober::default().run(&check).await;
    assert!(
        outcome
            .text
            .contains("the certificate is of an unknown authority"),
        "{}",
        outcome.text
    );
}

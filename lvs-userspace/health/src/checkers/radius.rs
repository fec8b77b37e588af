//! `service = radius`: an Access-Request that is accepted (RFC 2865).

use std::net::SocketAddr;

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};

use crate::checker::{Checker, Failure, Found, Lint, Negotiate, Options, Probe};
use crate::credentials::Credentials;
use crate::probe::datagram::{self, Sending};

/// Code, identifier, length, authenticator.
const HEADER: usize = 20;
/// Position of the authenticator.
const AUTHENTICATOR: std::ops::Range<usize> = 4..20;
/// An MD5 digest.
const DIGEST: usize = 16;
/// RFC 2865, section 5.2: what a password may have.
const PASSWORD: usize = 128;

/// Types of packets (section 3) and of attributes (section 5; RFC 3162, RFC 3579).
mod number {
    pub(super) const ACCESS_REQUEST: u8 = 1;
    pub(super) const ACCESS_ACCEPT: u8 = 2;
    pub(super) const ACCESS_REJECT: u8 = 3;
    pub(super) const ACCESS_CHALLENGE: u8 = 11;
    pub(super) const USER_NAME: u8 = 1;
    pub(super) const USER_PASSWORD: u8 = 2;
    pub(super) const NAS_IP_ADDRESS: u8 = 4;
    pub(super) const NAS_IDENTIFIER: u8 = 32;
    pub(super) const MESSAGE_AUTHENTICATOR: u8 = 80;
    pub(super) const NAS_IPV6_ADDRESS: u8 = 95;
}

/// A check that logs in by RADIUS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Radius {
    /// The login.
    pub credentials: Credentials,
    /// Secret shared with the server.
    pub secret: String,
}

impl Radius {
    pub(super) fn make(options: &Options) -> Checker {
        Self {
            credentials: options.credentials.clone(),
            secret: options.secret.clone(),
        }
        .into()
    }
}

impl Negotiate for Radius {
    const HAS_CHECK_TIMEOUT: bool = true;

    fn name(&self) -> &'static str {
        "radius"
    }

    /// Logs in.
    async fn probe(&self, probe: &Probe<'_>) -> Found {
        let socket = datagram::open(probe).await?;
        let local = socket.local_addr().map_err(datagram::failure)?;
        let mut random = [0; 1 + DIGEST];
        getrandom::fill(&mut random).map_err(|error| Failure::Own(error.to_string()))?;
        let secret = self.secret.as_bytes();
        let question = request(&self.credentials, secret, local, random).map_err(Failure::Own)?;
        let accept = |answer: &[u8]| outcome(answer, &question, secret);
        datagram::ask(probe, &socket, &question, Sending::Repeated, accept).await?
    }

    fn lint(&self, lint: &mut Lint) {
        if self.credentials.login.is_empty() || self.secret.is_empty() {
            lint.warn(
                "the check can never hold: a login and a secret are needed",
                "add login, passwd and secret",
            );
        }
    }
}

/// An Access-Request. It begins with a Message-Authenticator (RFC 3579, section 3.2), without which
/// servers that know of CVE-2024-3596 do not answer.
fn request(
    credentials: &Credentials,
    secret: &[u8],
    local: SocketAddr,
    [identifier, authenticator @ ..]: [u8; 1 + DIGEST],
) -> Result<Vec<u8>, String> {
    let password = credentials.password.as_bytes();
    if password.len() > PASSWORD {
        return Err(format!("a password of more than {PASSWORD} bytes"));
    }
    let mut packet = vec![number::ACCESS_REQUEST, identifier, 0, 0];
    packet.extend(authenticator);
    attribute(&mut packet, number::MESSAGE_AUTHENTICATOR, &[0; DIGEST])?;
    attribute(&mut packet, number::USER_NAME, credentials.login.as_bytes())?;
    let hidden = hide(password, secret, authenticator);
    attribute(&mut packet, number::USER_PASSWORD, &hidden)?;
    match local {
        SocketAddr::V4(local) => {
            attribute(&mut packet, number::NAS_IP_ADDRESS, &local.ip().octets())?;
        }
        SocketAddr::V6(local) => {
            attribute(&mut packet, number::NAS_IPV6_ADDRESS, &local.ip().octets())?;
        }
    }
    attribute(&mut packet, number::NAS_IDENTIFIER, b"lvsd")?;
    let length = u16::try_from(packet.len()).map_err(|error| error.to_string())?;
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    let signature = signature(&packet, secret);
    packet[HEADER + 2..HEADER + 2 + DIGEST].copy_from_slice(&signature);
    Ok(packet)
}

fn attribute(packet: &mut Vec<u8>, kind: u8, value: &[u8]) -> Result<(), String> {
    let length = u8::try_from(value.len() + 2)
        .map_err(|_| format!("an attribute of more than 253 bytes: {}", value.len()))?;
    packet.extend([kind, length]);
    packet.extend(value);
    Ok(())
}

/// Hides a password (RFC 2865, section 5.2).
fn hide(password: &[u8], secret: &[u8], authenticator: [u8; DIGEST]) -> Vec<u8> {
    let blocks = password.len().div_ceil(DIGEST).max(1);
    let mut padded = password.to_vec();
    padded.resize(blocks * DIGEST, 0);
    let mut before = authenticator;
    for block in padded.as_chunks_mut::<DIGEST>().0 {
        let mask = Md5::new().chain_update(secret).chain_update(before);
        for (byte, mask) in block.iter_mut().zip(mask.finalize()) {
            *byte ^= mask;
        }
        before = *block;
    }
    padded
}

fn signature(packet: &[u8], secret: &[u8]) -> [u8; DIGEST] {
    Hmac::<Md5>::new_from_slice(secret)
        .map(|mac| mac.chain_update(packet).finalize().into_bytes().into())
        // HMAC takes keys of any length (RFC 2104, section 2).
        .unwrap_or_default()
}

/// The outcome that an answer to a question means; none: it is not one.
fn outcome(answer: &[u8], question: &[u8], secret: &[u8]) -> Option<Found> {
    let length = usize::from(u16::from_be_bytes([*answer.get(2)?, *answer.get(3)?]));
    // What comes after that length is padding (section 3).
    let answer = answer
        .get(..length)
        .filter(|answer| answer.len() >= HEADER)?;
    if answer[1] != question[1] {
        return None;
    }
    let name = match answer[0] {
        number::ACCESS_ACCEPT => "Access-Accept",
        number::ACCESS_REJECT => "Access-Reject",
        number::ACCESS_CHALLENGE => "Access-Challenge",
        _ => return None,
    };
    let expected = Md5::new()
        .chain_update(&answer[..AUTHENTICATOR.start])
        .chain_update(&question[AUTHENTICATOR])
        .chain_update(&answer[AUTHENTICATOR.end..])
        .chain_update(secret)
        .finalize();
    Some(if answer[AUTHENTICATOR] != expected[..] {
        // To be dropped (section 3); but this is the error that has to be reported.
        let found = format!("{name} signed with another secret");
        Err(Failure::answer(found, "Access-Accept"))
    } else if answer[0] == number::ACCESS_ACCEPT {
        Ok(name.to_owned())
    } else {
        Err(Failure::answer(name, "Access-Accept"))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::net::UdpSocket;

    use super::*;
    use crate::testing::{assert_gives_up, assert_says, negotiate};

    const SECRET: &[u8] = b"xyzzy5461";

    fn asking(login: &str, password: &str, secret: &[u8]) -> Radius {
        Radius {
            credentials: Credentials {
                login: login.to_owned(),
                password: password.to_owned(),
            },
            secret: String::from_utf8(secret.to_vec()).unwrap(),
        }
    }

    #[test]
    fn the_example_of_rfc_2865_comes_out() {
        // Section 7.1.
        let authenticator = 0x0f40_3f94_7397_8057_bd83_d5cb_98f4_227a_u128.to_be_bytes();
        let hidden = 0x0dbe_708d_93d4_13ce_3196_e43f_782a_0aee_u128.to_be_bytes();
        assert_eq!(hide(b"arctangent", SECRET, authenticator), hidden);
        let mut question = vec![1, 0, 0, 56];
        question.extend(authenticator);
        let accept = [
            0x02, 0x00, 0x00, 0x26, 0x86, 0xfe, 0x22, 0x0e, 0x76, 0x24, 0xba, 0x2a, 0x10, 0x05,
            0xf6, 0xbf, 0x9b, 0x55, 0xe0, 0xb2, 0x06, 0x06, 0x00, 0x00, 0x00, 0x01, 0x0f, 0x06,
            0x00, 0x00, 0x00, 0x00, 0x0e, 0x06, 0xc0, 0xa8, 0x01, 0x03,
        ];
        let said = outcome(&accept, &question, SECRET).unwrap().unwrap();
        assert_eq!(said, "Access-Accept");
        let failure = outcome(&accept, &question, b"another")
            .unwrap()
            .unwrap_err();
        assert_eq!(
            failure.to_string(),
            "Access-Accept signed with another secret, expected Access-Accept"
        );
    }

    /// Accepts one password, and drops what is signed with another secret, as FreeRADIUS does.
    async fn server() -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut question = [0; 4096];
            while let Ok((length, from)) = socket.recv_from(&mut question).await {
                let question = &mut question[..length];
                assert_eq!(
                    usize::from(u16::from_be_bytes([question[2], question[3]])),
                    length
                );
                let signed: [u8; DIGEST] = question[22..38].try_into().unwrap();
                question[22..38].fill(0);
                if signature(question, SECRET) != signed {
                    continue;
                }
                let authenticator = question[AUTHENTICATOR].try_into().unwrap();
                let hidden = hide(b"arctangent", SECRET, authenticator);
                let right = question.windows(DIGEST).any(|window| window == hidden);
                let code = if right { 2 } else { 3 };
                let mut answer = vec![code, question[1], 0, 20];
                let digest = Md5::new()
                    .chain_update(&answer)
                    .chain_update(authenticator)
                    .chain_update(SECRET);
                answer.extend(digest.finalize());
                // Of another question, and garbage.
                let mut other = answer.clone();
                other[1] ^= 1;
                socket.send_to(&other, from).await.ok();
                socket.send_to(b"garbage", from).await.ok();
                socket.send_to(&answer, from).await.ok();
            }
        });
        server
    }

    #[tokio::test]
    async fn a_login_has_to_be_accepted() {
        let server = server().await;
        let outcome = negotiate(asking("nemo", "arctangent", SECRET), server).await;
        assert_says(
            &outcome,
            true,
            &format!("Access-Accept from {server} after N ms"),
        );
        let outcome = negotiate(asking("nemo", "sine", SECRET), server).await;
        let text = format!("Access-Reject from {server} after N ms, expected Access-Accept");
        assert_says(&outcome, false, &text);
    }

    #[tokio::test]
    async fn a_server_that_does_not_know_the_secret_is_silent() {
        let server = server().await;
        let service = asking("nemo", "arctangent", b"another");
        assert_gives_up(service, server, "answer from").await;
    }

    #[tokio::test]
    async fn what_does_not_fit_is_told() {
        let long = "x".repeat(300);
        let server = "127.0.0.1:1812".parse().unwrap();
        for (login, password) in [("nemo", long.as_str()), (&long, "")] {
            let outcome = negotiate(asking(login, password, SECRET), server).await;
            assert!(
                outcome.text.starts_with("127.0.0.1:1812 not probed: a"),
                "{}",
                outcome.text
            );
        }
    }

    proptest! {
        #[test]
        fn no_answer_does_harm(answer in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut question = vec![0; HEADER];
            question[1] = answer.get(1).copied().unwrap_or_default();
            outcome(&answer, &question, SECRET);
        }

        #[test]
        fn every_password_that_fits_can_be_hidden(password in ".{0,32}") {
            let credentials = Credentials { login: "a".to_owned(), password };
            let local = "127.0.0.1:1".parse().unwrap();
            request(&credentials, SECRET, local, [0; 1 + DIGEST]).unwrap();
        }
    }
}

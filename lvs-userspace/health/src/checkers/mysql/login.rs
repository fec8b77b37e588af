//! The login: protocol 10, with the methods that servers of today offer first.

use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::super::query::{LOGIN, Query};
use super::packet::{END, ERROR, Fields, MORE, OK, Packets, malformed, refusal};
use crate::outcome::{Failure, phrase};
use crate::probe::connection::Connection;
use crate::probe::tls::Tls;

const GREETING: &str = "greeting";

// Capabilities (include/mysql_com.h of either project, CLIENT_…).
const LONG_PASSWORD: u32 = 1;
const CONNECT_WITH_DB: u32 = 1 << 3;
const PROTOCOL_41: u32 = 1 << 9;
const SSL: u32 = 1 << 11;
const TRANSACTIONS: u32 = 1 << 13;
const SECURE_CONNECTION: u32 = 1 << 15;
const PLUGIN_AUTH: u32 = 1 << 19;

/// utf8mb4_general_ci, which both projects know by this number.
const CHARSET: u8 = 45;
/// Bytes of a packet that we announce to accept; the connection's bound is below it.
const LARGEST: u32 = 16 << 20;

const NATIVE: &str = "mysql_native_password";
const CACHING: &str = "caching_sha2_password";

/// The first packet of a server.
#[derive(Debug, PartialEq, Eq)]
struct Greeting {
    capabilities: u32,
    salt: Vec<u8>,
    method: String,
}

/// Logs in.
pub(super) async fn login<'p>(
    connection: Connection<'p>,
    query: &Query,
) -> Result<Packets<'p>, Failure> {
    let mut packets = Packets::new(connection);
    let said = packets.next(GREETING).await?;
    if said.first() == Some(&ERROR) {
        return Err(refusal(&said, GREETING));
    }
    let greeting = greeting(&said).ok_or_else(|| malformed(GREETING))?;

    let mut capabilities =
        LONG_PASSWORD | PROTOCOL_41 | TRANSACTIONS | SECURE_CONNECTION | PLUGIN_AUTH;
    if !query.database.is_empty() {
        capabilities |= CONNECT_WITH_DB;
    }
    // MySQL's method of today sends the password itself unless the server has it in a cache; it asks
    // for TLS, and the server makes itself a certificate that nobody knows.
    let secret = greeting.method == CACHING && greeting.capabilities & SSL != 0;
    if secret {
        capabilities |= SSL;
        packets.send(&head(capabilities)).await?;
        let number = packets.number;
        let unverified = Tls {
            unverified: true,
            ..Tls::default()
        };
        let connection = packets.connection.start_tls(&unverified).await?;
        packets = Packets { connection, number };
    }
    let password = query.credentials.password.as_bytes();
    let method = match &*greeting.method {
        known @ (NATIVE | CACHING) => known,
        // Whatever it prefers, it may be asked for another.
        _ => NATIVE,
    };
    let mut response = head(capabilities);
    for text in [&*query.credentials.login, &query.database, method] {
        if text.contains('\0') {
            return Err(Failure::Own("a zero byte in a name".to_owned()));
        }
    }
    response.extend(query.credentials.login.as_bytes());
    response.push(0);
    let proof = proof(method, password, &greeting.salt).unwrap_or_default();
    // At most 32 bytes.
    response.push(u8::try_from(proof.len()).unwrap_or(0));
    response.extend(proof);
    if capabilities & CONNECT_WITH_DB != 0 {
        response.extend(query.database.as_bytes());
        response.push(0);
    }
    response.extend(method.as_bytes());
    response.push(0);
    packets.send(&response).await?;
    finish(&mut packets, password, secret).await?;
    Ok(packets)
}

/// Answers the server's further requests until it accepts the login. It has a few at most.
async fn finish(packets: &mut Packets<'_>, password: &[u8], secret: bool) -> Result<(), Failure> {
    for _ in 0..4 {
        let answer = packets.next(LOGIN).await?;
        match answer[..] {
            [OK, ..] => return Ok(()),
            [ERROR, ..] => return Err(refusal(&answer, LOGIN)),
            // caching_sha2_password: the proof was right.
            [MORE, 3] => {}
            // It was not in the server's cache: the password itself is wanted.
            [MORE, 4] if secret => {
                packets.send(&[password, &[0]].concat()).await?;
            }
            [MORE, 4] => {
                return Err(Failure::answer(
                    "a request for the password without TLS",
                    "a login",
                ));
            }
            // By this alone it asks for a proof as they were before 2003.
            [END] => return Err(unknown("mysql_old_password")),
            [END, ref rest @ ..] => {
                let mut fields = Fields(rest);
                let method = String::from_utf8_lossy(fields.until_zero()).into_owned();
                let salt = fields.0.strip_suffix(&[0]).unwrap_or(fields.0);
                let proof = proof(&method, password, salt).ok_or_else(|| unknown(&method))?;
                packets.send(&proof).await?;
            }
            _ => return Err(malformed(LOGIN)),
        }
    }
    Err(malformed(LOGIN))
}

fn unknown(method: &str) -> Failure {
    Failure::answer(
        phrase("a request to log in by", method),
        format!("{NATIVE} or {CACHING}"),
    )
}

/// The begin of a login; by itself it asks for TLS.
fn head(capabilities: u32) -> Vec<u8> {
    let mut head = Vec::with_capacity(128);
    head.extend(capabilities.to_le_bytes());
    head.extend(LARGEST.to_le_bytes());
    head.push(CHARSET);
    head.extend([0; 23]);
    head
}

/// Reads a greeting (protocol::HandshakeV10).
fn greeting(said: &[u8]) -> Option<Greeting> {
    let mut fields = Fields(said);
    if fields.take(1)? != [10] {
        return None;
    }
    let _version = fields.until_zero();
    let _connection = fields.take(4)?;
    let mut salt = fields.take(8)?.to_vec();
    fields.take(1)?;
    let low = fields.take(2)?;
    let _charset_and_status = fields.take(3)?;
    let high = fields.take(2)?;
    let capabilities = u32::from_le_bytes([low[0], low[1], high[0], high[1]]);
    let length = usize::from(fields.take(1)?[0]);
    fields.take(10)?;
    if capabilities & SECURE_CONNECTION == 0 {
        return None;
    }
    let rest = fields.take(length.saturating_sub(8).max(13))?;
    salt.extend(rest.strip_suffix(&[0]).unwrap_or(rest));
    let method = match capabilities & PLUGIN_AUTH {
        0 => NATIVE.to_owned(),
        _ => String::from_utf8_lossy(fields.until_zero()).into_owned(),
    };
    Some(Greeting {
        capabilities,
        salt,
        method,
    })
}

/// The proof that we know the password; none for a method that is not known here. No password is
/// proved by no proof.
fn proof(method: &str, password: &[u8], salt: &[u8]) -> Option<Vec<u8>> {
    match method {
        NATIVE | CACHING if password.is_empty() => Some(Vec::new()),
        NATIVE => {
            let once = Sha1::digest(password);
            let twice = Sha1::digest(once);
            let mask = Sha1::new().chain_update(salt).chain_update(twice);
            Some(exclusive_or(&once, &mask.finalize()))
        }
        CACHING => {
            let once = Sha256::digest(password);
            let twice = Sha256::digest(once);
            let mask = Sha256::new().chain_update(twice).chain_update(salt);
            Some(exclusive_or(&once, &mask.finalize()))
        }
        _ => None,
    }
}

fn exclusive_or(left: &[u8], right: &[u8]) -> Vec<u8> {
    left.iter()
        .zip(right)
        .map(|(left, right)| left ^ right)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: [u8; 20] = [
        10, 47, 74, 111, 75, 73, 34, 48, 88, 76, 114, 74, 37, 13, 3, 80, 82, 2, 23, 21,
    ];

    #[test]
    fn proofs_are_those_of_other_clients() {
        let halves = |password| {
            let proof = proof(CACHING, password, &SALT).unwrap();
            let (high, low) = proof.split_at(16);
            [high, low].map(|half| u128::from_be_bytes(half.try_into().unwrap()))
        };
        assert_eq!(
            halves(b"secret"),
            [
                0xf490_e76f_66d9_d866_65ce_54d9_8c78_d0ac,
                0xfe2f_b0b0_8b42_3da8_0714_4873_d30b_312c
            ]
        );
        assert_eq!(
            halves(b"secret2"),
            [
                0xabc3_934a_012c_f342_e876_071c_8ee2_02de,
                0x5178_5b43_0258_a7a0_138b_c79c_4d80_0bc6
            ]
        );
        assert_eq!(proof(CACHING, b"", &SALT), Some(Vec::new()));
        assert_eq!(proof("client_ed25519", b"secret", &SALT), None);
    }

    #[test]
    fn a_greeting_that_is_cut_anywhere_is_none() {
        let mut whole = b"\x0a5.5.5-10.11.9-MariaDB\0".to_vec();
        whole.extend([1, 0, 0, 0]);
        whole.extend(b"abcdefgh\0");
        whole.extend([0xfe, 0xf7, 45, 2, 0, 0xff, 0x81, 21]);
        whole.extend([0; 10]);
        whole.extend(b"ijklmnopqrst\0");
        let cut = whole.len();
        whole.extend(b"mysql_native_password\0");
        let read = greeting(&whole).unwrap();
        assert_eq!(read.salt, b"abcdefghijklmnopqrst");
        assert_eq!(read.method, NATIVE);
        for length in 0..cut {
            assert_eq!(greeting(&whole[..length]), None, "{length}");
        }
    }
}

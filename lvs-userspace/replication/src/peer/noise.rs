//! Encryption and authentication by the Noise protocol (`NNpsk0`): both sides prove that they have the
//! key, and each session has secrets of its own that nobody can work out from the key later.
//!
//! Both ends count frames, whose numbers are not sent: one that was changed, left out, repeated or
//! belongs to another session is not decrypted.

use std::sync::Arc;

use snow::params::NoiseParams;
use snow::{Builder, HandshakeState, StatelessTransportState};

use super::key::Key;
use super::refusal::Refusal;

/// Pattern and functions of the protocol.
const PATTERN: &str = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s";
/// Both sides have to give the same one.
const PROLOGUE: &[u8] = b"lvs peer link";
/// Bytes that encryption adds.
pub(super) const OVERHEAD: usize = 16;
/// Bytes of a message of the handshake at most.
pub(super) const LONGEST_HANDSHAKE: usize = 256;

/// A handshake under way.
pub(super) struct Handshake(HandshakeState);

/// The two directions of a session.
pub(super) struct Ciphers {
    /// For frames of this side.
    pub(super) encryptor: Encryptor,
    /// For frames of the other side.
    pub(super) decryptor: Decryptor,
}

/// Encrypts frames.
pub(super) struct Encryptor {
    state: Arc<StatelessTransportState>,
    next: u64,
}

/// Decrypts frames.
pub(super) struct Decryptor {
    state: Arc<StatelessTransportState>,
    next: u64,
}

impl Handshake {
    /// That of the side that dials.
    pub(super) fn begin(key: &Key) -> Result<Self, Refusal> {
        let initiator = builder(key)?.build_initiator();
        initiator.map(Self).map_err(|_| Refusal::Key)
    }

    /// That of the side that was dialed.
    pub(super) fn answer(key: &Key) -> Result<Self, Refusal> {
        let responder = builder(key)?.build_responder();
        responder.map(Self).map_err(|_| Refusal::Key)
    }

    /// Writes the next message, with a payload.
    pub(super) fn write(&mut self, payload: &[u8]) -> Result<Vec<u8>, Refusal> {
        let mut message = vec![0; LONGEST_HANDSHAKE];
        let length = self
            .0
            .write_message(payload, &mut message)
            .map_err(|_| Refusal::Length)?;
        message.truncate(length);
        Ok(message)
    }

    /// Reads the payload of the other side's next message, which nobody with another key can have written.
    pub(super) fn read(&mut self, message: &[u8]) -> Result<Vec<u8>, Refusal> {
        let mut payload = vec![0; LONGEST_HANDSHAKE];
        let length = self
            .0
            .read_message(message, &mut payload)
            .map_err(|_| Refusal::Key)?;
        payload.truncate(length);
        Ok(payload)
    }

    /// Ends the handshake after its last message.
    pub(super) fn finish(self) -> Result<Ciphers, Refusal> {
        let state = self.0.into_stateless_transport_mode();
        let state = Arc::new(state.map_err(|_| Refusal::Key)?);
        Ok(Ciphers {
            encryptor: Encryptor {
                state: Arc::clone(&state),
                next: 0,
            },
            decryptor: Decryptor { state, next: 0 },
        })
    }
}

impl Encryptor {
    /// Encrypts a frame, and puts its length before it.
    pub(super) fn encrypt(&mut self, frame: &[u8]) -> Result<Vec<u8>, Refusal> {
        let length = frame.len() + OVERHEAD;
        let prefix = u16::try_from(length).map_err(|_| Refusal::Length)?;
        let mut encrypted = vec![0; 2 + length];
        let (before, after) = encrypted.split_at_mut(2);
        before.copy_from_slice(&prefix.to_be_bytes());
        self.state
            .write_message(self.next, frame, after)
            .map_err(|_| Refusal::Length)?;
        self.next += 1;
        Ok(encrypted)
    }
}

impl Decryptor {
    /// Decrypts a frame.
    pub(super) fn decrypt(&mut self, encrypted: &[u8]) -> Result<Vec<u8>, Refusal> {
        let mut frame = vec![0; encrypted.len()];
        let length = self
            .state
            .read_message(self.next, encrypted, &mut frame)
            .map_err(|_| Refusal::Forged)?;
        self.next += 1;
        frame.truncate(length);
        Ok(frame)
    }
}

fn builder(key: &Key) -> Result<Builder<'_>, Refusal> {
    let parameters: NoiseParams = PATTERN.parse().map_err(|_| Refusal::Version)?;
    Builder::new(parameters)
        .psk(0, key.bytes())
        .and_then(|builder| builder.prologue(PROLOGUE))
        .map_err(|_| Refusal::Key)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(secret: &str) -> Key {
        Key::new(secret.as_bytes()).unwrap()
    }

    fn session() -> (Ciphers, Ciphers) {
        let key = key("a key of this test");
        let mut dialler = Handshake::begin(&key).unwrap();
        let mut listener = Handshake::answer(&key).unwrap();
        let hello = dialler.write(b"hello").unwrap();
        assert_eq!(listener.read(&hello).unwrap(), b"hello");
        let answer = listener.write(b"you").unwrap();
        assert_eq!(dialler.read(&answer).unwrap(), b"you");
        (dialler.finish().unwrap(), listener.finish().unwrap())
    }

    fn body(encrypted: &[u8]) -> &[u8] {
        &encrypted[2..]
    }

    #[test]
    fn frames_arrive_in_order_and_only_once() {
        let (mut one, mut other) = session();
        let first = one.encryptor.encrypt(b"first").unwrap();
        let second = one.encryptor.encrypt(b"").unwrap();
        assert_eq!(other.decryptor.decrypt(body(&second)), Err(Refusal::Forged));
        assert_eq!(other.decryptor.decrypt(body(&first)).unwrap(), b"first");
        assert_eq!(other.decryptor.decrypt(body(&first)), Err(Refusal::Forged));
        assert_eq!(other.decryptor.decrypt(body(&second)).unwrap(), b"");
        let answer = other.encryptor.encrypt(b"answer").unwrap();
        assert_eq!(one.decryptor.decrypt(body(&answer)).unwrap(), b"answer");
    }

    #[test]
    fn a_frame_of_another_session_or_with_a_bit_changed_is_not_decrypted() {
        let (mut one, mut other) = session();
        let (mut elsewhere, _) = session();
        let foreign = elsewhere.encryptor.encrypt(b"first").unwrap();
        assert_eq!(
            other.decryptor.decrypt(body(&foreign)),
            Err(Refusal::Forged)
        );
        let encrypted = one.encryptor.encrypt(b"first").unwrap();
        for bit in 0..body(&encrypted).len() * 8 {
            let mut changed = body(&encrypted).to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(other.decryptor.decrypt(&changed), Err(Refusal::Forged));
        }
        assert_eq!(other.decryptor.decrypt(body(&encrypted)).unwrap(), b"first");
    }

    #[test]
    fn another_key_is_noticed_with_the_first_message() {
        let (ours, theirs) = (key("a key of this test"), key("another key of it"));
        let hello = Handshake::begin(&theirs).unwrap().write(b"").unwrap();
        let mut listener = Handshake::answer(&ours).unwrap();
        assert_eq!(listener.read(&hello), Err(Refusal::Key));
    }

    #[test]
    fn the_longest_frame_fits_and_one_byte_more_does_not() {
        let (mut one, mut other) = session();
        let longest = vec![7; usize::from(u16::MAX) - OVERHEAD];
        let encrypted = one.encryptor.encrypt(&longest).unwrap();
        assert_eq!(other.decryptor.decrypt(body(&encrypted)).unwrap(), longest);
        let longer = vec![7; longest.len() + 1];
        assert_eq!(one.encryptor.encrypt(&longer), Err(Refusal::Length));
    }

    proptest! {
        // Each takes a handful of products on a curve, which is slow without optimisation.
        #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 8, ..ProptestConfig::default() })]

        #[test]
        fn no_bytes_are_a_handshake_or_a_frame(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let key = key("a key of this test");
            prop_assert!(Handshake::answer(&key).unwrap().read(&bytes).is_err());
            prop_assert!(Handshake::begin(&key).unwrap().read(&bytes).is_err());
            let (_, mut other) = session();
            prop_assert_eq!(other.decryptor.decrypt(&bytes), Err(Refusal::Forged));
        }
    }
}

//! Encryption and authentication by the Noise protocol (`NNpsk0`): both sides prove that they have the
//! key, and each session has secrets of its own that nobody can work out from the key later.
//!
//! Frames are numbered by both ends without being told: one that was changed, left out, repeated or
//! belongs to another session does not open.

use std::sync::Arc;

use snow::params::NoiseParams;
use snow::{Builder, HandshakeState, StatelessTransportState};

use super::key::Key;
use super::refusal::Refusal;

/// Which functions of the protocol.
const PATTERN: &str = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s";
/// What both sides must think they are talking about.
const PROLOGUE: &[u8] = b"lvs peer link";
/// Bytes that sealing adds.
pub(super) const OVERHEAD: usize = 16;
/// Bytes of a message of the handshake at most.
pub(super) const LONGEST_GREETING: usize = 256;

/// A handshake under way.
pub(super) struct Handshake(HandshakeState);

/// The two directions of a session.
pub(super) struct Sealed {
    /// What this side sends.
    pub(super) seal: Seal,
    /// What the other one sent.
    pub(super) opener: Opener,
}

/// Seals frames.
pub(super) struct Seal {
    state: Arc<StatelessTransportState>,
    next: u64,
}

/// Opens sealed frames.
pub(super) struct Opener {
    state: Arc<StatelessTransportState>,
    next: u64,
}

impl Handshake {
    /// Of who dials.
    pub(super) fn begin(key: &Key) -> Result<Self, Refusal> {
        let initiator = builder(key)?.build_initiator();
        initiator.map(Self).map_err(|_| Refusal::Key)
    }

    /// Of who was dialled.
    pub(super) fn answer(key: &Key) -> Result<Self, Refusal> {
        let responder = builder(key)?.build_responder();
        responder.map(Self).map_err(|_| Refusal::Key)
    }

    /// The next message, with something to say.
    pub(super) fn write(&mut self, payload: &[u8]) -> Result<Vec<u8>, Refusal> {
        let mut message = vec![0; LONGEST_GREETING];
        let length = self
            .0
            .write_message(payload, &mut message)
            .map_err(|_| Refusal::Length)?;
        message.truncate(length);
        Ok(message)
    }

    /// What the other side's next message says. Whoever has another key cannot have written it.
    pub(super) fn read(&mut self, message: &[u8]) -> Result<Vec<u8>, Refusal> {
        let mut payload = vec![0; LONGEST_GREETING];
        let length = self
            .0
            .read_message(message, &mut payload)
            .map_err(|_| Refusal::Key)?;
        payload.truncate(length);
        Ok(payload)
    }

    /// After the last message.
    pub(super) fn finish(self) -> Result<Sealed, Refusal> {
        let state = self.0.into_stateless_transport_mode();
        let state = Arc::new(state.map_err(|_| Refusal::Key)?);
        Ok(Sealed {
            seal: Seal {
                state: Arc::clone(&state),
                next: 0,
            },
            opener: Opener { state, next: 0 },
        })
    }
}

impl Seal {
    /// A frame sealed, with its length before it.
    pub(super) fn seal(&mut self, frame: &[u8]) -> Result<Vec<u8>, Refusal> {
        let length = frame.len() + OVERHEAD;
        let prefix = u16::try_from(length).map_err(|_| Refusal::Length)?;
        let mut sealed = vec![0; 2 + length];
        let (before, after) = sealed.split_at_mut(2);
        before.copy_from_slice(&prefix.to_be_bytes());
        self.state
            .write_message(self.next, frame, after)
            .map_err(|_| Refusal::Length)?;
        self.next += 1;
        Ok(sealed)
    }
}

impl Opener {
    /// A frame as it was before it was sealed.
    pub(super) fn open(&mut self, sealed: &[u8]) -> Result<Vec<u8>, Refusal> {
        let mut frame = vec![0; sealed.len()];
        let length = self
            .state
            .read_message(self.next, sealed, &mut frame)
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

    fn session() -> (Sealed, Sealed) {
        let key = key("a key of this test");
        let mut dialler = Handshake::begin(&key).unwrap();
        let mut listener = Handshake::answer(&key).unwrap();
        let hello = dialler.write(b"hello").unwrap();
        assert_eq!(listener.read(&hello).unwrap(), b"hello");
        let answer = listener.write(b"you").unwrap();
        assert_eq!(dialler.read(&answer).unwrap(), b"you");
        (dialler.finish().unwrap(), listener.finish().unwrap())
    }

    fn body(sealed: &[u8]) -> &[u8] {
        &sealed[2..]
    }

    #[test]
    fn frames_arrive_in_order_and_only_once() {
        let (mut one, mut other) = session();
        let first = one.seal.seal(b"first").unwrap();
        let second = one.seal.seal(b"").unwrap();
        assert_eq!(other.opener.open(body(&second)), Err(Refusal::Forged));
        assert_eq!(other.opener.open(body(&first)).unwrap(), b"first");
        assert_eq!(other.opener.open(body(&first)), Err(Refusal::Forged));
        assert_eq!(other.opener.open(body(&second)).unwrap(), b"");
        let answer = other.seal.seal(b"answer").unwrap();
        assert_eq!(one.opener.open(body(&answer)).unwrap(), b"answer");
    }

    #[test]
    fn a_frame_of_another_session_or_with_a_bit_changed_does_not_open() {
        let (mut one, mut other) = session();
        let (mut elsewhere, _) = session();
        let foreign = elsewhere.seal.seal(b"first").unwrap();
        assert_eq!(other.opener.open(body(&foreign)), Err(Refusal::Forged));
        let sealed = one.seal.seal(b"first").unwrap();
        for bit in 0..body(&sealed).len() * 8 {
            let mut changed = body(&sealed).to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(other.opener.open(&changed), Err(Refusal::Forged));
        }
        assert_eq!(other.opener.open(body(&sealed)).unwrap(), b"first");
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
        let sealed = one.seal.seal(&longest).unwrap();
        assert_eq!(other.opener.open(body(&sealed)).unwrap(), longest);
        let longer = vec![7; longest.len() + 1];
        assert_eq!(one.seal.seal(&longer), Err(Refusal::Length));
    }

    proptest! {
        // Each takes a handful of products on a curve, which is slow without optimisation.
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn no_bytes_are_a_greeting_or_a_frame(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let key = key("a key of this test");
            prop_assert!(Handshake::answer(&key).unwrap().read(&bytes).is_err());
            prop_assert!(Handshake::begin(&key).unwrap().read(&bytes).is_err());
            let (_, mut other) = session();
            prop_assert_eq!(other.opener.open(&bytes), Err(Refusal::Forged));
        }
    }
}

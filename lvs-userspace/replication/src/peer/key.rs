//! The key that directors of one group share.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// Bytes that a key has at least.
const SHORTEST: usize = 16;
/// Different bytes that a key has at least: hexadecimal digits of 16 random bytes have 5 or fewer once in a billion.
const FEWEST: usize = 5;
/// Bytes that are read of the file at most.
const LONGEST: usize = 4_096;

/// The reason why a key cannot be read.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The file is not there, or may not be read.
    #[error("cannot read the key {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// Others than its owner may read it.
    #[error("others may read the key {}: `chmod 600` it", .0.display())]
    Open(PathBuf),
    /// It could be guessed.
    #[error("the key {} is shorter than {SHORTEST} bytes", .0.display())]
    Short(PathBuf),
    /// It could be guessed.
    #[error(
        "the key {} is made of repeated bytes: make one by `openssl rand -base64 32`",
        .0.display()
    )]
    Repeated(PathBuf),
    /// It is no key.
    #[error("the key {} is longer than {LONGEST} bytes", .0.display())]
    Long(PathBuf),
}

/// A shared secret.
#[derive(Clone)]
pub struct Key([u8; 32]);

impl Key {
    /// Reads a file of at least 16 bytes that nobody but its owner may read. White space at its end does not
    /// count.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::Read {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.mode() & 0o077 != 0 {
            return Err(KeyError::Open(path.to_owned()));
        }
        let mut secret = Vec::new();
        let most = LONGEST as u64 + 1;
        file.take(most).read_to_end(&mut secret).map_err(failed)?;
        if secret.len() > LONGEST {
            return Err(KeyError::Long(path.to_owned()));
        }
        let secret = secret.trim_ascii_end();
        let key = Self::new(secret).ok_or_else(|| KeyError::Short(path.to_owned()))?;
        let different = secret.iter().collect::<BTreeSet<_>>().len();
        if different < FEWEST || is_repeated(secret) {
            return Err(KeyError::Repeated(path.to_owned()));
        }
        Ok(key)
    }

    /// The key that a secret makes; `None` if it is too short.
    pub fn new(secret: &[u8]) -> Option<Self> {
        if secret.len() < SHORTEST {
            return None;
        }
        let digest = Sha256::new()
            .chain_update(b"lvs peer key\0")
            .chain_update(secret)
            .finalize();
        Some(Self(digest.into()))
    }

    pub(super) const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

/// Returns whether a secret is one part of less than [`SHORTEST`] bytes again and again.
fn is_repeated(secret: &[u8]) -> bool {
    let longest = (secret.len() / 2).min(SHORTEST - 1);
    (1..=longest).any(|length| secret[length..] == secret[..secret.len() - length])
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_long_enough_and_nobody_elses() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let read = |text: &str, mode| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            Key::read(&path)
        };
        let key = read("0123456789abcdef\n", 0o600).unwrap();
        let same = read("0123456789abcdef", 0o400).unwrap();
        assert_eq!(key.0, same.0, "an editor's line end is no part of it");
        let other = read("0123456789abcdeF", 0o600).unwrap();
        assert_ne!(key.0, other.0);
        for mode in [0o640, 0o604, 0o660] {
            let error = read("0123456789abcdef", mode).unwrap_err();
            assert!(matches!(error, KeyError::Open(_)), "{error}");
        }
        assert!(matches!(
            read("0123456789abcde\n\n", 0o600),
            Err(KeyError::Short(_))
        ));
        for guessed in ["x", "ab", "0123", "password", "a secret\n"] {
            let error = read(&guessed.repeat(16), 0o600).unwrap_err();
            assert!(matches!(error, KeyError::Repeated(_)), "{error}");
        }
        assert!(matches!(
            read(&"x".repeat(LONGEST + 1), 0o600),
            Err(KeyError::Long(_))
        ));
        assert!(matches!(
            Key::read(&folder.path().join("none")),
            Err(KeyError::Read { .. })
        ));
    }
}

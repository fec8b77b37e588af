//! The users and their rights: a file of users with hashed passwords, and of tokens.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// A right; the later one includes the earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Right {
    /// To see everything.
    Read,
    /// To change it.
    Operate,
}

impl Right {
    /// As the file has it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        let mut all = [Self::Read, Self::Operate].into_iter();
        all.find(|right| right.name() == name)
    }
}

/// Somebody who may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Name.
    pub(crate) name: String,
    /// Right.
    pub(crate) right: Right,
}

/// The users of a file.
#[derive(Debug, Default)]
pub(crate) struct Users {
    /// By name, with the hash of the password (bcrypt).
    passwords: HashMap<String, (Right, String)>,
    /// By the SHA-256 of the token.
    tokens: HashMap<[u8; 32], Identity>,
    /// Cost of the dearest of the hashes.
    cost: u32,
}

/// A file of users that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// It cannot be read.
    #[error("cannot read {file}: {error}", file = .0.display(), error = .1)]
    Unreadable(PathBuf, io::Error),
    /// Everybody on the machine may read or change it.
    #[error("{file} may be read or changed by everybody: chmod o= {file}", file = .0.display())]
    Exposed(PathBuf),
    /// A line is wrong.
    #[error("{file}:{line}: {reason}", file = .0.display(), line = .1, reason = .2)]
    Line(PathBuf, usize, String),
}

/// Salt and hash that no password has: an unknown name takes as long as a known one.
const NOBODY: &str = "abcdefghijklmnopqrstuuq0s2nVjCx2HAWzYtnPMs3Ht7ZT7qRB2";

/// The dearest hash, some seconds of a processor.
const DEAREST: u32 = 14;

impl Users {
    /// Reads a file.
    pub(crate) fn read(file: &Path) -> Result<Self, UsersError> {
        let unreadable = |error| UsersError::Unreadable(file.to_owned(), error);
        if is_exposed(file).map_err(unreadable)? {
            return Err(UsersError::Exposed(file.to_owned()));
        }
        let text = fs::read_to_string(file).map_err(unreadable)?;
        Self::parse(&text).map_err(|(line, reason)| UsersError::Line(file.to_owned(), line, reason))
    }

    /// Parses a file; the error has the number of the line.
    pub(crate) fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut users = Self::default();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                users.add(line).map_err(|reason| (number + 1, reason))?;
            }
        }
        if users.passwords.is_empty() && users.tokens.is_empty() {
            return Err((1, "there is no user in it".to_owned()));
        }
        Ok(users)
    }

    fn add(&mut self, line: &str) -> Result<(), String> {
        let form = "a line is NAME:HASH:RIGHT, HASH as `htpasswd -nB NAME' prints it, or sha256-HEX of a token";
        let [name, hash, right] = line.splitn(3, ':').collect::<Vec<_>>()[..] else {
            return Err(format!("two colons are missing: {form}"));
        };
        if name.is_empty() {
            return Err(format!("the name is missing: {form}"));
        }
        let right = Right::from_name(right)
            // Not what is there instead: with the fields mixed up it is a hash.
            .ok_or_else(|| format!("the third field is the right, `read' or `operate': {form}"))?;
        let name = name.to_owned();
        if let Some(hex) = hash.strip_prefix("sha256-") {
            let digest = digest_of_hex(hex)
                .ok_or("sha256- is followed by the 64 hexadecimal digits that sha256sum prints")?;
            let taken = self.tokens.insert(digest, Identity { name, right });
            return match taken {
                Some(other) => Err(format!("{} has the same token", other.name)),
                None => Ok(()),
            };
        }
        // It is parsed when a password is tried, too late to say what is wrong with it.
        let parts = hash.parse::<bcrypt::HashParts>().ok();
        let parts = parts.filter(|_| hash.len() == 60);
        let cost = parts
            .ok_or_else(|| format!("the second field is no hash of bcrypt: {form}"))?
            .get_cost();
        if cost > DEAREST {
            return Err(format!(
                "the hash of {name} has the cost {cost}, at most {DEAREST} are accepted"
            ));
        }
        self.cost = self.cost.max(cost);
        if self.passwords.contains_key(&name) {
            return Err(format!("{name} is there twice"));
        }
        self.passwords.insert(name, (right, hash.to_owned()));
        Ok(())
    }

    /// The user who has this token.
    pub(crate) fn by_token(&self, token: &str) -> Option<Identity> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        self.tokens.get(&digest).cloned()
    }

    /// The hash of a user's password, of nobody's if there is no such user, and who that is.
    pub(crate) fn hash(&self, name: &str) -> (String, Option<Identity>) {
        match self.passwords.get(name) {
            None => (format!("$2y${:02}${NOBODY}", self.cost.max(4)), None),
            Some((right, hash)) => {
                let (name, right) = (name.to_owned(), *right);
                (hash.clone(), Some(Identity { name, right }))
            }
        }
    }
}

/// True if everybody on the machine may read or change a file.
pub(crate) fn is_exposed(file: &Path) -> io::Result<bool> {
    Ok(fs::metadata(file)?.permissions().mode() & 0o007 != 0)
}

fn digest_of_hex(hex: &str) -> Option<[u8; 32]> {
    let digits = hex.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut digest = [0; 32];
    for (byte, place) in digest.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&hex[place..place + 2], 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$2y$05$abcdefghijklmnopqrstuuq0s2nVjCx2HAWzYtnPMs3Ht7ZT7qRB2";

    #[test]
    fn users_have_passwords_and_tokens_and_rights() {
        let digest = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        let text = format!("# who\n\nanna:{HASH}:operate\nprometheus:sha256-{digest}:read\n");
        let users = Users::parse(&text).unwrap();
        let (hash, anna) = users.hash("anna");
        assert_eq!((hash.as_str(), anna.unwrap().right), (HASH, Right::Operate));
        assert_eq!(users.hash("otto").1, None);
        let prometheus = users.by_token("secret").unwrap();
        assert_eq!(
            (prometheus.name.as_str(), prometheus.right),
            ("prometheus", Right::Read)
        );
        assert_eq!(users.by_token("other"), None);
    }

    #[test]
    fn a_wrong_line_is_refused_with_its_number() {
        let wrong = |line: &str| Users::parse(&format!("# who\n{line}\n")).unwrap_err();
        for line in [
            "anna",
            "anna:secret:read",
            &format!("anna:{HASH}"),
            &format!("anna:{HASH}:admin"),
            &format!("anna:read:{HASH}"),
            &format!("{HASH}:anna:read"),
            &format!(":{HASH}:read"),
            "p:sha256-12:read",
            &format!("a:{HASH}:read\na:{HASH}:read"),
        ] {
            let (number, reason) = wrong(line);
            assert!(number >= 2 && !reason.is_empty(), "{line}");
            assert!(
                !reason.contains("secret") && !reason.contains("$2y"),
                "{reason}"
            );
        }
        assert!(Users::parse("# nobody\n").is_err());
    }

    #[test]
    fn the_hash_of_nobody_is_as_dear_as_that_of_the_others() {
        let users = Users::parse(&format!("anna:{HASH}:read")).unwrap();
        let (hash, nobody) = users.hash("otto");
        assert_eq!(hash.parse::<bcrypt::HashParts>().unwrap().get_cost(), 5);
        assert!(matches!(bcrypt::verify("anything", &hash), Ok(false)));
        assert_eq!(nobody, None);
    }
}

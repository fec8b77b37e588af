//! The credentials of a request (RFC 7617, RFC 6750).

use axum::http::HeaderValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The value of the header Authorization. No `Debug`: passwords are in it.
pub(crate) enum Credentials {
    /// A token.
    Token(String),
    /// A name and its password.
    Password {
        /// As it was given.
        name: String,
        /// In clear text.
        password: String,
    },
    /// Of a kind that is not known, or not well formed.
    Unknown,
}

impl Credentials {
    pub(crate) fn parse(given: &HeaderValue) -> Self {
        let parts = given.to_str().ok().and_then(|text| text.split_once(' '));
        match parts {
            Some((scheme, value)) if scheme.eq_ignore_ascii_case("bearer") => {
                Self::Token(value.trim().to_owned())
            }
            Some((scheme, value)) if scheme.eq_ignore_ascii_case("basic") => {
                Self::basic(value).unwrap_or(Self::Unknown)
            }
            _ => Self::Unknown,
        }
    }

    fn basic(value: &str) -> Option<Self> {
        let text = String::from_utf8(STANDARD.decode(value.trim()).ok()?).ok()?;
        let (name, password) = text.split_once(':')?;
        let (name, password) = (name.to_owned(), password.to_owned());
        Some(Self::Password { name, password })
    }

    /// The credentials in the words of the log.
    pub(crate) fn named(&self) -> String {
        match self {
            Self::Token(_) => "a wrong token".to_owned(),
            Self::Password { name, .. } => {
                let shown: String = name.chars().take(64).collect();
                format!("a wrong password of {shown:?}")
            }
            Self::Unknown => "an Authorization that is neither Basic nor Bearer".to_owned(),
        }
    }
}

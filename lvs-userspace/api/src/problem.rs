//! Errors as problem details (RFC 9457).

use serde::{Deserialize, Serialize};

use crate::protocol::{Refusal, RefusalKind};

/// An error. A refused request has the members of its [`Refusal`] beside those of the RFC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Problem {
    /// `urn:lvs:refusal:` and the kind of the refusal, or `about:blank`: the status says all.
    #[serde(rename = "type")]
    pub kind_uri: String,
    /// The kind of the error, for people; the same for all of one type.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The fault of this request, in one sentence.
    pub detail: String,
    /// The refusal.
    #[serde(flatten)]
    pub refusal: Option<Refusal>,
}

impl Problem {
    /// Media type of its JSON.
    pub const CONTENT_TYPE: &str = "application/problem+json";

    /// An error that is not a refusal.
    pub fn of_status(status: u16, title: &str, detail: impl Into<String>) -> Self {
        Self {
            kind_uri: "about:blank".to_owned(),
            title: title.to_owned(),
            status,
            detail: detail.into(),
            refusal: None,
        }
    }

    /// A refused request.
    pub fn of_refusal(status: u16, refusal: Refusal) -> Self {
        Self {
            kind_uri: format!("urn:lvs:refusal:{}", refusal.kind.name()),
            title: refusal.kind.title().to_owned(),
            status,
            detail: refusal.message.clone(),
            refusal: Some(refusal),
        }
    }
}

impl RefusalKind {
    /// As JSON has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ServiceExists => "service-exists",
            Self::UnknownScheduler => "unknown-scheduler",
            Self::NoSuchService => "no-such-service",
            Self::ServiceNotDefined => "service-not-defined",
            Self::ServerExists => "server-exists",
            Self::NoSuchServer => "no-such-server",
            Self::NotPermitted => "not-permitted",
            Self::Invalid => "invalid",
            Self::OutOfRange => "out-of-range",
            Self::NoRoom => "no-room",
            Self::NotSupported => "not-supported",
            Self::DaemonRunning => "daemon-running",
            Self::NoDaemon => "no-daemon",
            Self::NoDevice => "no-device",
            Self::BadSetting => "bad-setting",
            Self::Internal => "internal",
        }
    }

    /// A few words for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::ServiceExists => "The virtual service exists already",
            Self::UnknownScheduler => "There is no such scheduler or persistence engine",
            Self::NoSuchService | Self::ServiceNotDefined => "There is no such virtual service",
            Self::ServerExists => "The real server exists already",
            Self::NoSuchServer => "There is no such real server",
            Self::NotPermitted => "It is not permitted",
            Self::Invalid => "The request is not understood",
            Self::OutOfRange => "A value is out of range",
            Self::NoRoom => "A table is full",
            Self::NotSupported => "This director does not support it",
            Self::DaemonRunning => "The sync daemon runs already",
            Self::NoDaemon => "The sync daemon does not run",
            Self::NoDevice => "There is no such device",
            Self::BadSetting => "The setting does not take this value",
            Self::Internal => "The daemon failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_a_refusal_too() {
        let refusal = Refusal::new(
            RefusalKind::NoSuchService,
            "no such service: TCP 192.0.2.1:80",
        );
        let problem = Problem::of_refusal(404, refusal.clone());
        let text = serde_json::to_string(&problem).unwrap();
        assert_eq!(serde_json::from_str::<Refusal>(&text).unwrap(), refusal);
        assert_eq!(serde_json::from_str::<Problem>(&text).unwrap(), problem);
        assert_eq!(problem.kind_uri, "urn:lvs:refusal:no-such-service");
        let name = serde_json::to_value(RefusalKind::ServiceNotDefined).unwrap();
        assert_eq!(name, RefusalKind::ServiceNotDefined.name());
    }

    #[test]
    fn a_problem_without_a_refusal_has_no_members_of_one() {
        let problem = Problem::of_status(401, "Unauthorized", "who are you?");
        let text = serde_json::to_string(&problem).unwrap();
        assert!(!text.contains("message"), "{text}");
        assert_eq!(serde_json::from_str::<Problem>(&text).unwrap(), problem);
    }
}

//! What travels over the control socket about the director's role.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `GET /v1/role` | | [`RoleStatus`] |
//! | `PUT /v1/role` | a [`Role`] | 204 when it is done, or an error status with a [`Refusal`] |
//! | `POST /v1/handover` | a [`Handover`] | the same |

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::protocol::{Refusal, RefusalKind};
use super::server::{Control, refused};
use crate::role::handover;
use crate::virtual_address::AddressStatus;

/// What a director of a pair is there for.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It holds the virtual addresses, and speaks to clients and people.
    #[default]
    Master,
    /// It is ready to become master: services, verdicts and connections are there.
    Backup,
}

impl Role {
    /// As it is typed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Backup => "backup",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "master" => Ok(Self::Master),
            "backup" => Ok(Self::Backup),
            _ => Err("it is `master' or `backup'".to_owned()),
        }
    }
}

/// The role of a director.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleStatus {
    /// In force.
    pub role: Role,
    /// The virtual addresses that a master holds.
    pub addresses: Vec<AddressStatus>,
}

/// `GET /v1/role`.
pub(super) async fn status(State(control): State<Arc<Control>>) -> Json<RoleStatus> {
    Json(control.roles().status())
}

/// `PUT /v1/role`.
pub(super) async fn change(
    State(control): State<Arc<Control>>,
    body: Result<Json<Role>, JsonRejection>,
) -> Result<Response, Response> {
    let Json(role) =
        body.map_err(|error| refused(Refusal::new(RefusalKind::Invalid, error.body_text())))?;
    match control.roles().change(role).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(error) => Err(refused(Refusal::new(
            RefusalKind::Internal,
            error.to_string(),
        ))),
    }
}

/// The role is to go to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handover {
    /// Milliseconds that it may take until the peer has every connection.
    pub timeout: u64,
}

/// `POST /v1/handover`.
pub(super) async fn hand_over(
    State(control): State<Arc<Control>>,
    body: Result<Json<Handover>, JsonRejection>,
) -> Result<Response, Response> {
    let Json(Handover { timeout }) =
        body.map_err(|error| refused(Refusal::new(RefusalKind::Invalid, error.body_text())))?;
    // Who asks may go away; it is brought to its end all the same.
    let work = async move { handover::hand_over(&control, Duration::from_millis(timeout)).await };
    let outcome = tokio::spawn(work).await;
    let failed = match outcome {
        Ok(Ok(())) => return Ok(StatusCode::NO_CONTENT.into_response()),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    tracing::error!("the role is not handed over: {failed}");
    Err(refused(Refusal::new(RefusalKind::Internal, failed)))
}

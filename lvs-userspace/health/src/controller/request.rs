//! Requests to the controller.

use std::collections::HashMap;
use std::path::PathBuf;

use lvs_api::health::{Health, Override};
use lvs_api::model::ServiceId;
use lvs_api::protocol::Refusal;
use lvs_dataplane::director::{SynRetries, Wanted};
use tokio::sync::oneshot;

use crate::agent::AgentLine;
use crate::configured::ConfiguredService;
use crate::maintenance::MaintenanceFiles;
use crate::model::Configuration;
use crate::overrides::Overrides;
use crate::server_view::ServerView;
use crate::tables::Update;

/// Contents of the tables for the services of a file.
pub type Tables = HashMap<ServiceId, Wanted>;

/// Overrides and their file, or the reason why there cannot be such an override.
pub(super) type NextOverrides = Result<(Overrides, PathBuf), Refusal>;

/// A request to the controller.
#[derive(Debug)]
pub(super) enum Request {
    /// Answered with all overrides as they will be after this one.
    OverridesAfter(Override, oneshot::Sender<NextOverrides>),
    /// Answered at once with a refusal, or with a receiver that gets a message when it is in effect.
    Override(
        Override,
        oneshot::Sender<Result<oneshot::Receiver<()>, Refusal>>,
    ),
    Health(oneshot::Sender<Health>),
    /// `whole`: services that were deleted by hand are added.
    Reload {
        configuration: Box<Configuration>,
        tables: Tables,
        whole: bool,
        answer: oneshot::Sender<()>,
    },
    SynRetries(Vec<SynRetries>),
    Refused(Update),
    Maintenance(MaintenanceFiles),
    Agent(AgentLine),
    FirstOutcomes(oneshot::Sender<()>),
    Configured(oneshot::Sender<Vec<ConfiguredService>>),
    Views(oneshot::Sender<Vec<ServerView>>),
    Mirror(Vec<ServerView>),
    Unmirror,
    Stop(oneshot::Sender<()>),
}

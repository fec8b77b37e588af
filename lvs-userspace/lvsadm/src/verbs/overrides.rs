//! `server` and `weight`: operators' overrides of state and weight.

use lvs_api::client::Client;
use lvs_api::health::Override;

use super::arguments::{SetState, SetWeight};
use super::failure::Failure;
use super::target::Target;

/// `server`: overrides the state of a real server.
pub(super) async fn server(client: &mut Client, arguments: &SetState) -> Result<(), Failure> {
    let health = client.health().await?;
    let Target { service, server } = Target::find(&health, &arguments.service, &arguments.server)?;
    let state = arguments.state;
    let change = Override::State {
        service,
        server,
        state,
        volatile: arguments.volatile,
    };
    Ok(client.set_override(&change).await?)
}

/// `weight`: overrides the weight of a real server.
pub(super) async fn weight(client: &mut Client, arguments: &SetWeight) -> Result<(), Failure> {
    let health = client.health().await?;
    let Target { service, server } = Target::find(&health, &arguments.service, &arguments.server)?;
    let weight = arguments.weight;
    let change = Override::Weight {
        service,
        server,
        weight,
        volatile: arguments.volatile,
    };
    Ok(client.set_override(&change).await?)
}

//! `server` and `weight`.

use super::arguments::{SetState, SetWeight};
use super::failure::Failure;
use super::target::Target;
use lvs_api::client::Client;
use lvs_api::health::Override;

pub(super) async fn server(client: &mut Client, order: &SetState) -> Result<(), Failure> {
    let health = client.health().await?;
    let Target { service, server } = Target::find(&health, &order.service, &order.server)?;
    let state = order.state;
    let order = Override::State {
        service,
        server,
        state,
    };
    Ok(client.set_override(&order).await?)
}

pub(super) async fn weight(client: &mut Client, order: &SetWeight) -> Result<(), Failure> {
    let health = client.health().await?;
    let Target { service, server } = Target::find(&health, &order.service, &order.server)?;
    let weight = order.weight;
    let order = Override::Weight {
        service,
        server,
        weight,
    };
    Ok(client.set_override(&order).await?)
}

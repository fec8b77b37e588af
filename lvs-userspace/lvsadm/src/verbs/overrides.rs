//! `server` and `weight`: operators' overrides of state and weight.

use lvs_api::client::Client;
use lvs_api::health::{Health, Override, ServerByHand};
use lvs_api::model::{ServerId, ServerSettings, Tunnel};

use super::arguments::{ServerAction, SetState, SetWeight};
use super::failure::Failure;
use super::target::{self, Target};

/// `server`: overrides the state of a real server, or has one checked that is not in the file.
pub(super) async fn server(client: &mut Client, arguments: &SetState) -> Result<(), Failure> {
    let health = client.health().await?;
    let state = match arguments.action {
        ServerAction::State(_) if arguments.check => {
            return Err(Failure::Usage("--check goes with add".to_owned()));
        }
        ServerAction::State(state) => state,
        ServerAction::Add | ServerAction::Remove => {
            return by_hand(client, &health, arguments).await;
        }
    };
    let Target { service, server } = Target::find(&health, &arguments.service, &arguments.server)?;
    let change = Override::State {
        service,
        server,
        state,
        volatile: arguments.volatile,
    };
    Ok(client.set_override(&change).await?)
}

/// `server … add --check` and `server … remove`.
async fn by_hand(
    client: &mut Client,
    health: &Health,
    arguments: &SetState,
) -> Result<(), Failure> {
    if arguments.volatile {
        let message = "--volatile goes with ready, drain and maint";
        return Err(Failure::Usage(message.to_owned()));
    }
    let ids: Vec<_> = health.services.iter().map(|service| service.id).collect();
    let Some(service) = target::one_service(&ids, health, &arguments.service)? else {
        return Err(Failure::Usage(
            "add and remove need one virtual service".to_owned(),
        ));
    };
    let server = ServerId(target::address_at(&arguments.server, &service)?);
    if arguments.action == ServerAction::Remove {
        let change = ServerByHand::Remove { service, server };
        return Ok(client.server_by_hand(&change).await?);
    }
    if !arguments.check {
        let message = "add needs --check; without health checks a server is added by lvsadm -a";
        return Err(Failure::Usage(message.to_owned()));
    }
    let tables = client.services().await?;
    let mut listed = tables.services.iter();
    let listed = listed.find(|listed| listed.id == service);
    let servers = listed.map_or(&[][..], |listed| &listed.servers);
    let present = servers.iter().find(|listed| listed.id == server);
    let first = servers.first().map(|listed| listed.settings.method);
    let settings = match (present, arguments.method.or(first)) {
        (Some(present), _) => present.settings,
        (None, Some(method)) => ServerSettings {
            method,
            weight: arguments.weight,
            upper: 0,
            lower: 0,
            tunnel: Tunnel::Ipip,
            snat: None,
        },
        (None, None) => {
            let message =
                "the service has no server whose method it could have: name it by --method";
            return Err(Failure::Usage(message.to_owned()));
        }
    };
    let change = ServerByHand::Check {
        service,
        server,
        settings,
    };
    Ok(client.server_by_hand(&change).await?)
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

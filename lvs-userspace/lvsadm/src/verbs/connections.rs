//! `connections drop`: ends connections.

use std::io::Write;

use lvs_api::client::{Client, ClientError};
use lvs_api::connections::{DropConnections, Dropped};
use lvs_api::health::Health;

use super::arguments::DropConnections as Arguments;
use super::failure::Failure;
use super::target::one_service;

/// Ends the connections that the options name, or counts them.
pub(super) async fn drop_matching(
    client: &mut Client,
    arguments: Arguments,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let service = match &arguments.service {
        Some(name) => {
            let services = client.services().await?.services;
            let ids: Vec<_> = services.iter().map(|service| service.id).collect();
            let health = match client.health().await {
                Ok(health) => health,
                // Without health checks no service has a name.
                Err(ClientError::Refused(_)) => Health::default(),
                Err(error) => return Err(error.into()),
            };
            one_service(&ids, &health, name)?
        }
        None => None,
    };
    // `--service all` limits nothing.
    let everything = arguments.service.is_some() && service.is_none();
    let request = DropConnections {
        service,
        client: arguments.client,
        server: arguments.server,
        state: arguments.state,
        idle_ms: arguments
            .idle
            .map(|idle| idle.as_millis().try_into().unwrap_or(u64::MAX)),
        templates: arguments.templates,
        all: arguments.all,
        dry_run: arguments.dry_run,
    };
    if everything && !request.is_limited() {
        return Err(Failure::Unknown(
            "`--service all' names no connections in particular: say --all".to_owned(),
        ));
    }
    let dropped = client.drop_connections(&request).await?;
    writeln!(out, "{}", text(dropped, &request))?;
    Ok(())
}

fn text(dropped: Dropped, request: &DropConnections) -> String {
    let Dropped {
        connections,
        templates,
    } = dropped;
    let connections = match connections {
        1 => "1 connection".to_owned(),
        several => format!("{several} connections"),
    };
    let templates = match templates {
        _ if !request.templates => String::new(),
        1 => " and 1 template".to_owned(),
        several => format!(" and {several} templates"),
    };
    let done = if request.dry_run {
        "would be dropped"
    } else {
        "dropped"
    };
    format!("{connections}{templates} {done}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_told() {
        let dropped = |connections, templates| Dropped {
            connections,
            templates,
        };
        let request = DropConnections::default();
        assert_eq!(text(dropped(1, 0), &request), "1 connection dropped");
        let request = DropConnections {
            templates: true,
            dry_run: true,
            ..request
        };
        assert_eq!(
            text(dropped(2, 1), &request),
            "2 connections and 1 template would be dropped"
        );
    }
}

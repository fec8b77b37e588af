//! Requests for a snapshot.

use lvs_api::client::{Client, ClientError};
use lvs_api::protocol::RefusalKind;

use crate::options::Tab;
use crate::snapshot::{Detail, Snapshot};

/// The current state of what a page shows.
pub(crate) async fn snapshot(client: &mut Client, tab: Tab) -> Result<Snapshot, ClientError> {
    Ok(Snapshot {
        status: client.status().await?,
        role: client.role().await?,
        traffic: client.total_traffic().await?,
        detail: match tab {
            Tab::Services | Tab::Servers | Tab::Checks => {
                let services = client.services().await?;
                let health = match client.health().await {
                    Err(ClientError::Refused(refusal))
                        if refusal.kind == RefusalKind::NotSupported =>
                    {
                        None
                    }
                    health => Some(health?),
                };
                Detail::Services(services, health)
            }
            Tab::Verdicts => Detail::Verdicts(client.verdicts().await?),
            Tab::Tables => Detail::Tables,
            Tab::Peers => Detail::Peers(client.peers().await?),
        },
    })
}

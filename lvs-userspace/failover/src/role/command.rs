//! The role by order of an operator: a director does not become a second master beside one that it hears, unless it is
//! forced to (a cluster manager has decided), or their addresses may be held by any number of them.

use std::sync::Arc;
use std::time::Duration;

use lvs_api::role::{Role, RoleChange};
use lvs_replication::peer::{Instance, Peers};
use tokio::time::{Instant, sleep};

use super::roles::{RoleError, Roles};

/// Time in which a master that died is no longer connected, and the message of one that became backup has come.
const GONE: Duration = Duration::from_millis(1500);
/// From one look at the peers to the next.
const LOOK: Duration = Duration::from_millis(20);

/// The reason why the role is not changed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum CommandError {
    #[error(
        "{0} is connected and master: `lvsadm handover' there moves the role without a lost connection; --force makes \
         this director master beside it"
    )]
    Beside(Instance),
    #[error(transparent)]
    Role(#[from] RoleError),
}

/// Changes the role; returns when that is done.
pub async fn change(
    roles: &Roles,
    peers: Option<&Arc<Peers>>,
    RoleChange { role, force }: RoleChange,
) -> Result<(), CommandError> {
    let new_master = role == Role::Master && roles.current() == Role::Backup;
    if let Some(peers) = peers.filter(|_| new_master && !force && !roles.may_be_shared()) {
        let deadline = Instant::now() + GONE;
        while let Some(master) = master(peers) {
            if Instant::now() >= deadline {
                return Err(CommandError::Beside(master));
            }
            sleep(LOOK).await;
        }
    }
    Ok(roles.change(role).await?)
}

/// A director that is connected and master.
fn master(peers: &Peers) -> Option<Instance> {
    let mut heard = peers.roles().into_iter();
    let (instance, _) = heard.find(|(_, it)| it.role == Role::Master)?;
    Some(instance)
}

//! The role to begin in: a director never becomes a second master beside one that it can hear, unless their addresses
//! may be held by any number of them.

use std::time::Duration;

use lvs_api::role::Role;
use lvs_replication::peer::{Instance, Peers, RoleInForce};
use tracing::warn;

use super::roles::Roles;

/// Longest wait for peers: one that lives has answered by then.
const LISTEN: Duration = Duration::from_secs(2);
/// By then a peer that was about to be master when it was heard has said whether it is.
const SETTLED: Duration = Duration::from_millis(500);

/// Listens for peers, and decides on the role to begin in.
pub async fn first_role(roles: &Roles, peers: &Peers) -> Role {
    if roles.first() == Role::Backup || roles.may_be_shared() {
        return roles.first();
    }
    peers.listen_for_peers(LISTEN).await;
    let mut heard = peers.roles();
    if is_undecided(peers.instance(), &heard) {
        tokio::time::sleep(SETTLED).await;
        heard = peers.roles();
    }
    match prevailing(peers.instance(), &heard) {
        None => Role::Master,
        Some(other) => {
            warn!(
                "this director begins as backup, for {other} is master (`lvsadm handover' there, or `lvsadm role \
                 master' here once that one is backup, changes it)"
            );
            Role::Backup
        }
    }
}

/// Returns whether a candidate that would give way to this director may have become master before it heard of it.
fn is_undecided(own: Instance, heard: &[(Instance, RoleInForce)]) -> bool {
    prevailing(own, heard).is_none() && heard.iter().any(|(_, it)| it.candidate)
}

/// The director that is, or is about to be, master in place of this one.
fn prevailing(own: Instance, heard: &[(Instance, RoleInForce)]) -> Option<Instance> {
    let prevails = |(instance, it): &&(Instance, RoleInForce)| {
        it.role == Role::Master || (it.candidate && *instance < own)
    };
    heard.iter().find(prevails).map(|(instance, _)| *instance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_prevails_and_of_two_that_start_the_first_by_name() {
        let master = RoleInForce::from(Role::Master);
        let backup = RoleInForce::from(Role::Backup);
        let candidate = RoleInForce {
            candidate: true,
            ..backup
        };
        let of = |number, role| prevailing(Instance(5), &[(Instance(number), role)]);
        assert_eq!(prevailing(Instance(5), &[]), None);
        for number in [4, 6] {
            assert_eq!(of(number, master), Some(Instance(number)));
            assert_eq!(of(number, backup), None);
        }
        assert_eq!(of(4, candidate), Some(Instance(4)));
        assert_eq!(of(6, candidate), None);

        let undecided = |number, role| is_undecided(Instance(5), &[(Instance(number), role)]);
        assert!(undecided(6, candidate), "it may be master by now");
        assert!(!undecided(4, candidate) && !undecided(6, master) && !undecided(6, backup));
        assert!(!is_undecided(Instance(5), &[]));
    }
}

use std::path::Path;
use std::time::Duration;

use lvs_api::role::Role;

use super::{AddressGroup, Roles};
use crate::virtual_address::Announcing;

fn begin(path: &Path, adopted: bool, first: Role) -> Roles {
    let group = AddressGroup {
        addresses: Vec::new(),
        announcing: Announcing {
            count: 1,
            interval: Duration::ZERO,
            repeat: Duration::ZERO,
        },
    };
    Roles::new(path.to_owned(), adopted, first, group)
}

#[tokio::test]
async fn the_next_daemon_goes_on_in_the_role_of_the_last() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lvsd.role");
    let roles = begin(&path, false, Role::Backup);
    roles.apply_initial(roles.first()).await;
    assert_eq!(roles.current(), Role::Backup);
    let followed = roles.follow();
    roles.change(Role::Master).await.unwrap();
    assert_eq!(*followed.borrow(), Role::Master);
    drop(roles);
    assert_eq!(begin(&path, true, Role::Backup).current(), Role::Master);
    assert_eq!(begin(&path, false, Role::Backup).current(), Role::Backup);
}

#[tokio::test]
async fn a_role_that_cannot_be_kept_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let roles = begin(&folder.path().join("gone/lvsd.role"), true, Role::Master);
    assert!(roles.change(Role::Backup).await.is_err());
    assert_eq!(roles.current(), Role::Master);
}

#[tokio::test]
async fn a_role_in_force_that_was_not_kept_is_refused_until_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("later/lvsd.role");
    let roles = begin(&path, false, Role::Backup);
    roles.apply_initial(Role::Backup).await;
    assert!(roles.change(Role::Backup).await.is_err());
    std::fs::create_dir(folder.path().join("later")).unwrap();
    roles.change(Role::Backup).await.unwrap();
    assert!(path.exists());
}

#[tokio::test]
async fn a_file_of_nonsense_makes_a_backup() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lvsd.role");
    for text in ["", "master", "{}", r#"{"role":"boss","addresses":[]}"#] {
        std::fs::write(&path, text).unwrap();
        for adopted in [true, false] {
            let roles = begin(&path, adopted, Role::Master);
            assert_eq!(roles.current(), Role::Backup, "{text:?}");
            assert_eq!(roles.first(), Role::Backup, "{text:?}");
        }
    }
}

#[tokio::test]
async fn a_director_that_may_become_master_is_backup_until_it_is_decided() {
    let folder = tempfile::tempdir().unwrap();
    let roles = begin(&folder.path().join("lvsd.role"), false, Role::Master);
    let sent = roles.follow_for_peers();
    roles.stand_by();
    assert_eq!(
        (roles.current(), roles.first()),
        (Role::Backup, Role::Master)
    );
    assert!(sent.borrow().candidate);
    roles.apply_initial(Role::Master).await;
    assert_eq!(roles.current(), Role::Master);
    assert_eq!(*sent.borrow(), Role::Master.into());
}

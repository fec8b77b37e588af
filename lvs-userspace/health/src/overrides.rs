//! The operator's overrides for real servers, and the file that keeps them over a restart and a reboot.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::mem;
use std::net::SocketAddr;
use std::path::Path;

use lvs_api::health::{AdminState, Override, Weight};
use lvs_api::lenient::{List, Newer, Unknown};
use lvs_api::model::{ServerId, ServiceId};

/// The overrides in force for one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServerOverride {
    /// Ready, drain or maintenance.
    pub(crate) state: AdminState,
    /// The weight in place of the configured one.
    pub(crate) weight: Weight,
}

impl Default for ServerOverride {
    fn default() -> Self {
        Self {
            state: AdminState::Ready,
            weight: Weight::Configured,
        }
    }
}

/// All overrides in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Overrides {
    in_force: Servers,
    /// Those that outlive the daemon.
    kept: Servers,
    /// The part of the file that only a newer lvsd understands, for that one.
    newer: Newer<Override>,
}

type Servers = BTreeMap<(ServiceId, ServerId), ServerOverride>;

impl Overrides {
    /// The overrides in force for a server.
    pub(crate) fn of(&self, service: &ServiceId, server: &ServerId) -> ServerOverride {
        self.in_force
            .get(&(*service, *server))
            .copied()
            .unwrap_or_default()
    }

    /// Applies one override to a server.
    pub(crate) fn apply(&mut self, service: ServiceId, server: ServerId, change: &Override) {
        apply_to(&mut self.in_force, (service, server), change);
        if is_volatile(change) {
            return;
        }
        let key = (service, server);
        let before = self.kept.get(&key).copied();
        apply_to(&mut self.kept, key, change);
        if self.kept.get(&key).copied() != before {
            let kind = mem::discriminant(change);
            self.newer.forget(|read| {
                target(read) == (Some(service), server.0) && mem::discriminant(read) == kind
            });
        }
    }

    /// Removes the overrides of servers that are no longer known.
    pub(crate) fn retain(&mut self, known: impl Fn(&ServiceId, &ServerId) -> bool) {
        for servers in [&mut self.in_force, &mut self.kept] {
            servers.retain(|(service, server), _| known(service, server));
        }
        self.newer.forget(|read| match target(read) {
            (Some(service), server) => !known(&service, &ServerId(server)),
            (None, _) => true,
        });
    }

    /// Entries of the file that are not understood: a newer lvsd wrote them.
    pub(crate) fn unknown(&self) -> &[Unknown] {
        &self.newer.unknown
    }

    /// Reads the file; a missing one holds no overrides.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let list: List<Override> = match std::fs::read(path) {
            Ok(text) => serde_json::from_slice(&text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => List::default(),
            Err(error) => return Err(error),
        };
        let mut overrides = Self::default();
        for change in &list.entries {
            let (service, server) = target(change);
            if let Some(service) = service {
                overrides.apply(service, ServerId(server), change);
            }
        }
        overrides.newer = list.newer;
        Ok(overrides)
    }

    /// Replaces the file atomically, with what outlives the daemon. Only its owner may read it.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let mut kept = Vec::new();
        for (&(service, ServerId(server)), current) in &self.kept {
            let service = Some(service);
            if current.state != AdminState::Ready {
                kept.push(Override::State {
                    service,
                    server,
                    state: current.state,
                    volatile: false,
                });
            }
            if current.weight != Weight::Configured {
                kept.push(Override::Weight {
                    service,
                    server,
                    weight: current.weight,
                    volatile: false,
                });
            }
        }
        let list = self.newer.list(kept)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer(&mut file, &list)?;
        file.flush()?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    }
}

fn apply_to(servers: &mut Servers, key: (ServiceId, ServerId), change: &Override) {
    let current = servers.entry(key).or_default();
    match change {
        Override::State { state, .. } => current.state = *state,
        Override::Weight { weight, .. } => current.weight = *weight,
    }
    if *current == ServerOverride::default() {
        servers.remove(&key);
    }
}

/// True for an override that ends with the daemon.
pub(crate) const fn is_volatile(change: &Override) -> bool {
    match change {
        Override::State { volatile, .. } | Override::Weight { volatile, .. } => *volatile,
    }
}

/// Virtual service, if any, and address of the real server that an override names.
pub(crate) const fn target(change: &Override) -> (Option<ServiceId>, SocketAddr) {
    match change {
        Override::State {
            service, server, ..
        }
        | Override::Weight {
            service, server, ..
        } => (*service, *server),
    }
}

/// Returns whether an override names this server.
pub(crate) fn applies_to(change: &Override, service: &ServiceId, server: &ServerId) -> bool {
    let (wanted_service, wanted) = target(change);
    wanted_service
        .is_none_or(|wanted| lvs_dataplane::director::canonical_service(&wanted) == *service)
        && wanted.ip() == server.0.ip()
        && [0, server.0.port()].contains(&wanted.port())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use lvs_api::model::Protocol;

    fn service() -> ServiceId {
        ServiceId::Address {
            protocol: Protocol::Tcp,
            address: "10.9.9.9:80".parse().unwrap(),
        }
    }

    fn server() -> ServerId {
        ServerId("10.0.0.1:80".parse().unwrap())
    }

    fn state(state: AdminState) -> Override {
        Override::State {
            service: None,
            server: "10.0.0.1:0".parse().unwrap(),
            state,
            volatile: false,
        }
    }

    #[test]
    fn overrides_survive_in_a_file_for_the_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("state");
        let path = folder.join("overrides");
        let read = || Overrides::read(&path).unwrap();
        assert_eq!(read(), Overrides::default());
        let mut overrides = Overrides::default();
        overrides.apply(service(), server(), &state(AdminState::Drain));
        let weight = Override::Weight {
            service: None,
            server: server().0,
            weight: Weight::Percent(50),
            volatile: false,
        };
        overrides.apply(service(), server(), &weight);
        overrides.write(&path).unwrap();
        assert_eq!(read(), overrides);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1);
    }

    #[test]
    fn a_volatile_override_is_in_force_but_not_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("overrides");
        let mut overrides = Overrides::default();
        overrides.apply(service(), server(), &state(AdminState::Drain));
        let change = Override::State {
            service: None,
            server: server().0,
            state: AdminState::Maint,
            volatile: true,
        };
        overrides.apply(service(), server(), &change);
        assert_eq!(overrides.of(&service(), &server()).state, AdminState::Maint);
        overrides.write(&path).unwrap();
        let kept = Overrides::read(&path).unwrap();
        assert_eq!(kept.of(&service(), &server()).state, AdminState::Drain);
    }

    #[test]
    fn an_invalid_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("overrides");
        for text in ["", "[", "{}", "\u{0}"] {
            std::fs::write(&path, text).unwrap();
            assert!(Overrides::read(&path).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_override_of_a_newer_version_is_named_and_kept_and_the_others_hold() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("overrides");
        let mut overrides = Overrides::default();
        overrides.apply(service(), server(), &state(AdminState::Maint));
        overrides.write(&path).unwrap();
        let known = std::fs::read_to_string(&path).unwrap();
        let known = known.trim_matches(['[', ']']);
        let newer = known.replace("maint", "resting");
        std::fs::write(&path, format!("[{newer},{{\"quota\":{{}}}},{{}},{known}]")).unwrap();
        let mut read = Overrides::read(&path).unwrap();
        assert_eq!(
            (&read.in_force, &read.kept),
            (&overrides.in_force, &overrides.kept)
        );
        let unknown = read.unknown().to_vec();
        assert_eq!(unknown.len(), 3, "{unknown:?}");
        assert!(unknown[0].to_string().contains("resting"), "{unknown:?}");
        read.apply(service(), server(), &state(AdminState::Ready));
        read.write(&path).unwrap();
        let again = Overrides::read(&path).unwrap();
        assert_eq!(again.unknown(), unknown);
        assert!(again.kept.is_empty(), "{again:?}");
    }

    #[test]
    fn fields_of_a_newer_version_stay_with_an_override_until_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("overrides");
        let mut overrides = Overrides::default();
        overrides.apply(service(), server(), &state(AdminState::Drain));
        overrides.write(&path).unwrap();
        let old = std::fs::read_to_string(&path).unwrap();
        let newer = old.replace("\"drain\"", "\"drain\",\"reason\":{\"text\":\"disk\"}");
        assert_ne!(newer, old);
        let written = |overrides: &Overrides| {
            overrides.write(&path).unwrap();
            let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            assert!([&newer, &old].map(|it| value(it)).contains(&value(&text)) || text == "[]");
            text.contains("disk")
        };
        let read = || {
            std::fs::write(&path, &newer).unwrap();
            Overrides::read(&path).unwrap()
        };
        let mut overrides = read();
        assert!(written(&overrides));
        // As a backup is told again and again by its master.
        overrides.apply(service(), server(), &state(AdminState::Drain));
        assert!(written(&overrides));
        overrides.apply(service(), server(), &state(AdminState::Ready));
        assert!(!written(&overrides));
        overrides.apply(service(), server(), &state(AdminState::Drain));
        assert!(!written(&overrides), "it is about another decision");
        let mut overrides = read();
        overrides.retain(|_, _| false);
        overrides.apply(service(), server(), &state(AdminState::Drain));
        assert!(!written(&overrides), "it is about another server");
    }

    #[test]
    fn an_override_without_port_is_for_every_port() {
        assert!(applies_to(&state(AdminState::Maint), &service(), &server()));
        let other = ServerId("10.0.0.2:80".parse().unwrap());
        assert!(!applies_to(&state(AdminState::Maint), &service(), &other));
    }

    #[test]
    fn a_revoked_override_is_removed() {
        let mut overrides = Overrides::default();
        overrides.apply(service(), server(), &state(AdminState::Drain));
        overrides.apply(service(), server(), &state(AdminState::Ready));
        assert_eq!(overrides, Overrides::default());
    }
}

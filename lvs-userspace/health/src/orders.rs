//! What the operator ordered for real servers, and the file that keeps it over a restart and a reboot.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::Path;

use lvs_api::health::{AdminState, Order, Weight};
use lvs_api::model::{ServerId, ServiceId};

/// The orders in force for one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// What it is there for.
    pub state: AdminState,
    /// Its weight.
    pub weight: Weight,
}

impl Default for Ordered {
    fn default() -> Self {
        Self {
            state: AdminState::Ready,
            weight: Weight::Configured,
        }
    }
}

/// All orders in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orders(BTreeMap<(ServiceId, ServerId), Ordered>);

impl Orders {
    /// What is ordered for a server.
    pub fn of(&self, service: &ServiceId, server: &ServerId) -> Ordered {
        self.0
            .get(&(*service, *server))
            .copied()
            .unwrap_or_default()
    }

    /// Takes an order for one server.
    pub fn take(&mut self, service: ServiceId, server: ServerId, order: &Order) {
        let key = (service, server);
        let mut ordered = self.of(&service, &server);
        match order {
            Order::State { state, .. } => ordered.state = *state,
            Order::Weight { weight, .. } => ordered.weight = *weight,
        }
        if ordered == Ordered::default() {
            self.0.remove(&key);
        } else {
            self.0.insert(key, ordered);
        }
    }

    /// Forgets the orders for servers that are none any more.
    pub fn retain(&mut self, known: impl Fn(&ServiceId, &ServerId) -> bool) {
        self.0.retain(|(service, server), _| known(service, server));
    }

    /// Reads the file; none is no orders.
    pub fn read(path: &Path) -> io::Result<Self> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let list: Vec<Order> = serde_json::from_slice(&text)?;
        let mut orders = Self::default();
        for order in &list {
            let (service, server) = addressee(order);
            if let Some(service) = service {
                orders.take(service, ServerId(server), order);
            }
        }
        Ok(orders)
    }

    /// Writes the file: it has the orders before or the orders now, whatever happens. For the owner
    /// only.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut list = Vec::new();
        for (&(service, ServerId(server)), ordered) in &self.0 {
            let service = Some(service);
            if ordered.state != AdminState::Ready {
                list.push(Order::State {
                    service,
                    server,
                    state: ordered.state,
                });
            }
            if ordered.weight != Weight::Configured {
                list.push(Order::Weight {
                    service,
                    server,
                    weight: ordered.weight,
                });
            }
        }
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

/// Whom an order is for.
pub const fn addressee(order: &Order) -> (Option<ServiceId>, SocketAddr) {
    match order {
        Order::State {
            service, server, ..
        }
        | Order::Weight {
            service, server, ..
        } => (*service, *server),
    }
}

/// Whether an order is for this server.
pub fn is_for(order: &Order, service: &ServiceId, server: &ServerId) -> bool {
    let (wanted_service, wanted) = addressee(order);
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

    fn state(state: AdminState) -> Order {
        Order::State {
            service: None,
            server: "10.0.0.1:0".parse().unwrap(),
            state,
        }
    }

    #[test]
    fn orders_survive_in_a_file_for_the_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("state");
        let path = folder.join("orders");
        assert_eq!(Orders::read(&path).unwrap(), Orders::default());
        let mut orders = Orders::default();
        orders.take(service(), server(), &state(AdminState::Drain));
        let weight = Order::Weight {
            service: None,
            server: server().0,
            weight: Weight::Percent(50),
        };
        orders.take(service(), server(), &weight);
        orders.write(&path).unwrap();
        assert_eq!(Orders::read(&path).unwrap(), orders);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_is_none_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("orders");
        for text in ["", "[", "[{}]", "\u{0}", "[{\"state\": 5}]"] {
            std::fs::write(&path, text).unwrap();
            assert!(Orders::read(&path).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_order_without_port_is_for_every_port() {
        assert!(is_for(&state(AdminState::Maint), &service(), &server()));
        let other = ServerId("10.0.0.2:80".parse().unwrap());
        assert!(!is_for(&state(AdminState::Maint), &service(), &other));
    }

    #[test]
    fn what_is_taken_back_is_forgotten() {
        let mut orders = Orders::default();
        orders.take(service(), server(), &state(AdminState::Drain));
        orders.take(service(), server(), &state(AdminState::Ready));
        assert_eq!(orders, Orders::default());
    }
}

//! Persistence templates: entries from a client's network to a service.

use zerocopy::byteorder::network_endian::U16;

use super::key::{Key, Kind};
use crate::abi::{CallNumber, ServiceKey, ticks};
use crate::family::Family;
use crate::wire::{Ports, protocol};

/// State of a template of whose connections none was established yet.
pub const UNASSURED: u8 = 0;
/// State of a template that is as good as an established connection.
pub const ASSURED: u8 = 1;

/// Ticks that a template is found beyond its time. Whether connections still need it is found out by
/// sweeps, once a second while the daemon gets to run: until one has looked, its client keeps its server.
pub const GRACE: u32 = ticks(10);

/// The network of a client: the first `prefix` bits of its address.
#[inline(always)]
pub fn network<F: Family>(client: F::Address, prefix: u8) -> F::Address {
    let mut words: [u32; 4] = zerocopy::transmute!(F::widen(client));
    let mut left = u32::from(prefix);
    for word in &mut words {
        let bits = left.min(32);
        left -= bits;
        #[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
        let mask = (((1_u64 << bits) - 1) << (32 - bits)) as u32;
        *word &= mask.to_be();
    }
    F::narrow(&zerocopy::transmute!(words))
}

/// Key of a client's template: its network and the service's own key, which for a
/// firewall mark names no address (`ip_vs_sched_persist`). FTP's is for every port of the address, as its data
/// connections go to others than its control connections.
#[inline(always)]
pub fn template<F: Family>(client: F::Address, service: &ServiceKey, prefix: u8) -> Key<F> {
    let ftp = service.protocol == protocol::TCP && service.port.get() == 21;
    Key {
        source: network::<F>(client, prefix),
        destination: F::narrow(&service.address),
        ports: Ports {
            source: U16::ZERO,
            destination: if ftp { U16::ZERO } else { service.port },
        },
        protocol: service.protocol,
        kind: Kind::Template as u8,
    }
}

/// Key of a call's template: the number of its Call-ID has the place of the client.
#[inline(always)]
pub fn call_template<F: Family>(call: CallNumber, service: &ServiceKey) -> Key<F> {
    let ([a, b, c, d], port) = call.halves();
    let source = F::narrow(&[a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let destination = F::narrow(&service.address);
    Key {
        source,
        destination,
        ports: Ports {
            source: U16::from_bytes(port),
            destination: service.port,
        },
        protocol: service.protocol,
        kind: Kind::Template as u8,
    }
}

/// The call whose template has this key; `None`: it is a client's.
#[inline(always)]
pub fn call<F: Family>(key: &Key<F>) -> Option<CallNumber> {
    let [a, b, c, d, ..] = F::widen(key.source);
    let port = key.ports.source.to_bytes();
    let number = CallNumber::from_halves([a, b, c, d], port);
    (key.kind == Kind::Template as u8 && port != [0; 2]).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::{call, call_template, network, template};
    use crate::abi::{CallNumber, ServiceKey};
    use crate::family::{Family, V4, V6};

    fn calls_have_keys_of_their_own<F: Family>() {
        let service = ServiceKey {
            address: [9; 16],
            port: 5060.into(),
            protocol: 17,
            family: F::NUMBER,
        };
        for hash in [0, 1, 0x1234_5678_9abc, u64::MAX] {
            let number = CallNumber::from_hash(hash);
            let key = call_template::<F>(number, &service);
            assert_eq!(call(&key), Some(number));
            let client = template(key.source, &service, 128);
            assert_ne!(client, key);
            assert_eq!(call(&client), None);
            assert_eq!(client.destination, key.destination);
            assert_eq!(client.ports.destination, key.ports.destination);
        }
    }

    #[test]
    fn no_client_has_a_calls_key() {
        calls_have_keys_of_their_own::<V4>();
        calls_have_keys_of_their_own::<V6>();
    }

    #[test]
    fn a_network_is_the_first_bits_of_an_address() {
        let client = [203, 0, 113, 77];
        assert_eq!(network::<V4>(client, 32), client);
        assert_eq!(network::<V4>(client, 26), [203, 0, 113, 64]);
        assert_eq!(network::<V4>(client, 0), [0; 4]);
        let client = [0x20, 1, 0xd, 0xb8, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6];
        assert_eq!(network::<V6>(client, 128), client);
        let mut expected = client;
        expected[8..].fill(0);
        assert_eq!(network::<V6>(client, 64), expected);
        expected[7] = 0;
        assert_eq!(network::<V6>(client, 62), expected);
    }
}

//! Sorting of listings: ipvsadm's sort order, which scripts and golden files rely on.
//!
//! ipvsadm takes the sign of a 32-bit difference for "less", so addresses (and marks) are ordered in a circle:
//! 192.168.0.1 comes before 10.0.0.1, that before 127.0.0.1, and that before 192.168.0.1. The sorts of the
//! standard library do not allow such an order, and the result depends on the algorithm: ipvsadm uses the C
//! library's, a top-down merge sort. This is the same, so the same input gives the same output.

use std::cmp::Ordering;
use std::net::IpAddr;

use lvs_api::model::{Family, Protocol, ServiceId};
use lvs_api::protocol::{Server, Service};

/// Sorts services, and the servers of each.
pub fn services(services: Vec<Service>) -> Vec<Service> {
    let mut services = merge_sort(services, &|a, b| by_service(&a.id, &b.id));
    for service in &mut services {
        service.servers = merge_sort(std::mem::take(&mut service.servers), &by_server);
    }
    services
}

fn by_service(a: &ServiceId, b: &ServiceId) -> Ordering {
    let key = |id: &ServiceId| match *id {
        ServiceId::Address { protocol, address } => (
            0,
            id.family(),
            protocol,
            words(address.ip()),
            address.port(),
        ),
        // The kernel keeps a mark as a TCP service without an address.
        ServiceId::Mark { mark, family } => (mark, family, Protocol::Tcp, [0; 4], 0),
    };
    let (a, b) = (key(a), key(b));
    circular(a.0, b.0)
        .then(a.1.cmp(&b.1))
        .then(a.2.cmp(&b.2))
        .then_with(|| by_words(a.3, b.3, if a.1 == Family::Ipv4 { 1 } else { 4 }))
        .then(a.4.cmp(&b.4))
}

fn by_server(a: &Server, b: &Server) -> Ordering {
    let (a, b) = (a.id.0, b.id.0);
    // Addresses of different families are compared by as many words as the first one has.
    by_words(
        words(a.ip()),
        words(b.ip()),
        if a.is_ipv4() { 1 } else { 4 },
    )
    .then(a.port().cmp(&b.port()))
}

fn words(address: IpAddr) -> [u32; 4] {
    match address {
        IpAddr::V4(v4) => [v4.to_bits(), 0, 0, 0],
        IpAddr::V6(v6) => {
            let mut words = [0; 4];
            for (word, bytes) in words.iter_mut().zip(v6.octets().chunks_exact(4)) {
                *word = bytes
                    .iter()
                    .fold(0, |word, byte| word << 8 | u32::from(*byte));
            }
            words
        }
    }
}

fn by_words(a: [u32; 4], b: [u32; 4], count: usize) -> Ordering {
    let pairs = a.into_iter().zip(b).take(count);
    pairs.fold(Ordering::Equal, |order, (a, b)| order.then(circular(a, b)))
}

fn circular(a: u32, b: u32) -> Ordering {
    a.wrapping_sub(b).cast_signed().cmp(&0)
}

fn merge_sort<T>(mut items: Vec<T>, order: &impl Fn(&T, &T) -> Ordering) -> Vec<T> {
    if items.len() < 2 {
        return items;
    }
    let second = items.split_off(items.len() / 2);
    let mut first = merge_sort(items, order).into_iter().peekable();
    let mut second = merge_sort(second, order).into_iter().peekable();
    let mut merged = Vec::with_capacity(first.len() + second.len());
    while let (Some(a), Some(b)) = (first.peek(), second.peek()) {
        let next = if order(a, b) == Ordering::Greater {
            &mut second
        } else {
            &mut first
        };
        merged.extend(next.next());
    }
    merged.extend(first);
    merged.extend(second);
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_circle_is_cut_where_ipvsadm_cuts_it() {
        // From the kernel's IPVS: servers as it keeps them (newest first), then as ipvsadm lists them.
        let kernel = [
            "1.2.3.4:80",
            "[2001:db8::1]:80",
            "192.168.0.8:80",
            "192.168.0.7:80",
            "192.168.0.6:80",
            "192.168.0.5:80",
            "192.168.0.4:80",
            "192.168.0.3:80",
            "192.168.0.2:80",
            "127.0.0.1:80",
            "10.0.0.2:0",
            "10.0.0.2:80",
            "10.0.0.2:8080",
            "10.0.0.9:80",
        ];
        let listed = [
            "192.168.0.4:80",
            "192.168.0.5:80",
            "192.168.0.6:80",
            "192.168.0.7:80",
            "192.168.0.8:80",
            "1.2.3.4:80",
            "10.0.0.2:0",
            "10.0.0.2:80",
            "10.0.0.2:8080",
            "10.0.0.9:80",
            "[2001:db8::1]:80",
            "127.0.0.1:80",
            "192.168.0.2:80",
            "192.168.0.3:80",
        ];
        let servers = kernel.map(crate::sample::server).into();
        let sorted = merge_sort(servers, &by_server);
        let sorted: Vec<_> = sorted
            .iter()
            .map(|server| server.id.0.to_string())
            .collect();
        assert_eq!(sorted, listed);
    }

    #[test]
    fn services_are_sorted_by_mark_then_family_protocol_address_and_port() {
        let sorted = [
            "-f 4294967295",
            "-t 192.0.0.1:79",
            "-t 192.0.0.1:443",
            "-t 192.168.3.4:80",
            "-t 1.2.3.4:80",
            "-u 1.2.3.4:53",
            "--sctp-service 1.2.3.4:9",
            "-t [fe80::1]:80",
            "-t [::]:80",
            "-t [2001:db8::1]:80",
            "-t [2001:db8::1]:81",
            "-f 3",
            "-f 7",
            "-f 7 -6",
            "-f 10",
        ];
        let mut services = sorted.map(crate::sample::service).to_vec();
        services.reverse();
        let again: Vec<_> = self::services(services)
            .into_iter()
            .map(|service| service.id)
            .collect();
        assert_eq!(again, sorted.map(|text| crate::sample::service(text).id));
    }
}

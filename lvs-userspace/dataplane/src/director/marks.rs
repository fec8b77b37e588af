//! Firewall marks without a firewall: netfilter marks packets only after the program has forwarded
//! them, so rules of the director's own say which packets carry which mark.
//!
//! A rule about one destination address, protocol and port (or every port) is found by a key; packets are
//! compared with the others one by one. Each rule has a place among all of them, in the order in which they
//! were set: of those that match the last one holds. Setting a rule again moves it to the end. The records in
//! the maps hold all that is known of a rule, and so outlive the daemon.

use std::mem::offset_of;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use lvs_api::mark::{MarkRule, Network, PortRange};
use lvs_api::model::{Family, ServiceId};
use lvs_api::protocol::{Refusal, RefusalKind};
use lvs_common::abi::{
    self, Address, AddressWords, Config, KeyedMark, MAX_RULES, Marked, ServiceKey, address_words,
};
use lvs_common::connection::Protocol;
use zerocopy::FromZeros as _;

use super::keys;
use super::services::Services;
use crate::address::{family, narrow, widen};
use crate::kernel::{KernelError, Maps, ServiceKeys, wait_for_readers};

/// The low half of [`Marked`], where the service index stands.
const SERVICE: usize = offset_of!(abi::MarkRule, marked);
const _: () = assert!(cfg!(target_endian = "little"));

/// The rules, in the order of their places.
pub(super) struct Marks {
    maps: Arc<Maps>,
    rules: Vec<Placed>,
    /// First place in the map of the rules that packets are compared with.
    first: u32,
}

/// A rule and its place among all.
struct Placed {
    place: u32,
    rule: MarkRule,
    /// Indices of the interfaces that it is about: a record for each; 0: any.
    interfaces: Vec<u32>,
}

impl Placed {
    fn new(place: u32, rule: MarkRule) -> Self {
        let interfaces = indices(&rule);
        Self {
            place,
            rule,
            interfaces,
        }
    }

    /// The records of a rule that packets are compared with.
    fn records(&self, services: &Services) -> impl Iterator<Item = abi::MarkRule> {
        let record = self.record(services);
        self.interfaces.iter().map(move |&interface| abi::MarkRule {
            interface,
            ..record
        })
    }

    /// The record for any interface.
    fn record(&self, services: &Services) -> abi::MarkRule {
        let rule = &self.rule;
        let destination = rule.destination();
        let any = Network {
            prefix: 0,
            ..destination
        };
        let source = rule.source.unwrap_or(any);
        let interface = rule.interface.as_deref();
        let mut interface_name = [0; 16];
        for (byte, letter) in interface_name
            .iter_mut()
            .zip(interface.unwrap_or_default().bytes())
        {
            *byte = letter;
        }
        abi::MarkRule {
            marked: self.marked(services),
            source: words(source),
            source_mask: mask(source),
            destination: words(destination),
            destination_mask: mask(destination),
            source_ports: rule
                .source_ports
                .map_or([0, u16::MAX], |ports| [ports.first, ports.last]),
            destination_ports: match (rule.address.port(), rule.last_port) {
                (0, None) => [0, u16::MAX],
                (first, last) => [first, last.unwrap_or(first)],
            },
            interface: 0,
            mark: rule.mark,
            protocol: rule
                .protocol
                .map_or(0, |protocol| Protocol::from(protocol).number()),
            family: family(&rule.address.ip()),
            reserved: [0; 6],
            interface_name,
        }
    }

    /// The rule of a record; `None` if no daemon writes such a record.
    fn of_record(record: &abi::MarkRule) -> Option<Self> {
        let network = |address: AddressWords, mask: AddressWords| {
            let bits = mask.iter().map(|word| word.count_ones()).sum::<u32>();
            let address: Address = zerocopy::transmute!(address);
            Network::new(narrow(&address, record.family), u8::try_from(bits).ok()?).ok()
        };
        if !matches!(record.family, 4 | 6) || record.marked.place() == 0 {
            return None;
        }
        let destination = network(record.destination, record.destination_mask)?;
        let [first, last] = record.destination_ports;
        let [first_source, last_source] = record.source_ports;
        let name = record.interface_name.split(|&byte| byte == 0).next()?;
        let name = std::str::from_utf8(name).ok()?;
        let rule = MarkRule {
            protocol: Protocol::from_number(record.protocol).map(Into::into),
            address: SocketAddr::new(destination.address, first),
            prefix: Some(destination.prefix),
            last_port: Some(last),
            source: network(record.source, record.source_mask),
            source_ports: Some(PortRange {
                first: first_source,
                last: last_source,
            }),
            interface: (!name.is_empty()).then(|| name.to_owned()),
            mark: record.mark,
            unmarked: record.mark == 0,
        };
        Some(Self::new(record.marked.place(), rule.canonical().ok()?))
    }

    fn marked(&self, services: &Services) -> Marked {
        let family = match self.rule.address {
            SocketAddr::V4(_) => Family::Ipv4,
            SocketAddr::V6(_) => Family::Ipv6,
        };
        let mark = self.rule.mark;
        let service = services.find(&ServiceId::Mark { mark, family });
        Marked::new(
            self.place,
            service.map_or(Marked::NO_SERVICE, |(index, _)| index),
        )
    }

    fn is_of(&self, mark: u32, family: Family) -> bool {
        self.rule.mark == mark && self.rule.address.is_ipv4() == (family == Family::Ipv4)
    }
}

impl Marks {
    pub(super) const fn new(maps: Arc<Maps>) -> Self {
        Self {
            maps,
            rules: Vec::new(),
            first: 0,
        }
    }

    /// Takes over the rules in the maps.
    pub(super) fn adopt(&mut self, keys: &ServiceKeys) -> Result<(), KernelError> {
        let run = self
            .maps
            .config
            .read(0)
            .map_or(0, |config| config.mark_rules);
        self.first = run >> 16;
        for place in self.first..self.first + (run & 0xffff) {
            let record = self.maps.mark_rules.read(place);
            self.rules
                .extend(record.as_ref().and_then(Placed::of_record));
        }
        for (key, KeyedMark { marked, mark, .. }) in keys.marks()? {
            let Some(ServiceId::Address { protocol, address }) = keys::service(&key) else {
                continue;
            };
            let rule = MarkRule {
                unmarked: mark == 0,
                ..MarkRule::to_address(protocol, address, mark)
            };
            self.rules.push(Placed::new(marked.place(), rule));
        }
        self.rules.sort_unstable_by_key(|placed| placed.place);
        // One with several interfaces has several records.
        self.rules.dedup_by_key(|placed| placed.place);
        Ok(())
    }

    /// The rules there are, in the order in which they hold.
    pub(super) fn list(&self) -> Vec<MarkRule> {
        let rules = self.rules.iter();
        rules.map(|placed| placed.rule.clone()).collect()
    }

    /// Networks of packets that may carry marks.
    pub(super) fn destinations(&self) -> impl Iterator<Item = Network> {
        self.rules.iter().map(|placed| placed.rule.destination())
    }

    /// The position of the rule about the same packets.
    fn position(&self, rule: &MarkRule) -> Option<usize> {
        let mut rules = self.rules.iter();
        rules.position(|placed| placed.rule.matches_same(rule))
    }

    /// Adds a rule behind all others, or moves it there.
    pub(super) fn insert(
        &mut self,
        rule: MarkRule,
        services: &Services,
        keys: &mut ServiceKeys,
    ) -> Result<(), Refusal> {
        let known = self.position(&rule);
        let last = self.rules.last().map_or(0, |placed| placed.place);
        let placed = Placed::new(last + 1, rule);
        let records: usize = self
            .rules
            .iter()
            .map(|placed| placed.interfaces.len())
            .sum();
        if known.is_none() && records + placed.interfaces.len() > MAX_RULES as usize {
            return Err(Refusal::no_room(format!(
                "there can be {MAX_RULES} rules for marks at most, one for each interface that they name"
            )));
        }
        if let Some(key) = key(&placed.rule) {
            keys.insert_mark(key, keyed(&placed, services))?;
            if let Some(known) = known {
                self.rules.remove(known);
            }
            self.rules.push(placed);
            self.store(offset_of!(Config, keyed_marks), 1);
            return Ok(());
        }
        if let Some(known) = known {
            self.rules.remove(known);
            self.rules.push(placed);
            self.rewrite(services);
            return Ok(());
        }
        let mut count = number(self.records().count());
        for record in placed.records(services) {
            self.maps.mark_rules.write(self.first + count, record);
            count += 1;
        }
        self.rules.push(placed);
        self.publish(count);
        Ok(())
    }

    /// Removes the rule about the same packets.
    pub(super) fn remove(
        &mut self,
        rule: &MarkRule,
        services: &Services,
        keys: &mut ServiceKeys,
    ) -> Result<(), Refusal> {
        let Some(known) = self.position(rule) else {
            return Err(Refusal::new(
                RefusalKind::NoSuchService,
                "these packets carry no mark",
            ));
        };
        if let Some(key) = key(rule) {
            keys.remove_mark(key)?;
            self.rules.remove(known);
            let any = self.rules.iter().any(|placed| key_of(placed).is_some());
            self.store(offset_of!(Config, keyed_marks), any.into());
        } else {
            self.rules.remove(known);
            self.rewrite(services);
        }
        Ok(())
    }

    /// Has the packets that carry a mark find its service, or no longer.
    pub(super) fn index_mark(
        &self,
        mark: u32,
        family: Family,
        services: &Services,
        keys: &mut ServiceKeys,
    ) -> Result<(), KernelError> {
        self.index(services, keys, |placed| placed.is_of(mark, family))
    }

    /// Has all packets with marks find their services: after a daemon that died while it changed that.
    pub(super) fn index_marks(
        &self,
        services: &Services,
        keys: &mut ServiceKeys,
    ) -> Result<(), KernelError> {
        let any = self.rules.iter().any(|placed| key_of(placed).is_some());
        self.store(offset_of!(Config, keyed_marks), any.into());
        self.index(services, keys, |_| true)
    }

    fn index(
        &self,
        services: &Services,
        keys: &mut ServiceKeys,
        chosen: impl Fn(&Placed) -> bool,
    ) -> Result<(), KernelError> {
        for placed in self.rules.iter().filter(|placed| chosen(placed)) {
            if let Some(key) = key_of(placed) {
                keys.insert_mark(key, keyed(placed, services))?;
            }
        }
        for (place, (placed, _)) in (self.first..).zip(self.records()) {
            if chosen(placed)
                && let Some(word) = self.maps.mark_rules.word(place, SERVICE)
            {
                word.store(placed.marked(services).service(), Ordering::Release);
            }
        }
        Ok(())
    }

    /// Brings the interfaces of rules up to date: one of a name may come, go, and come back as another.
    pub(super) fn follow_interfaces(&mut self, services: &Services) {
        let mut records_changed = false;
        for placed in &mut self.rules {
            if placed.rule.interface.is_none() {
                continue;
            }
            let now = indices(&placed.rule);
            records_changed |= now.len() != placed.interfaces.len();
            placed.interfaces = now;
        }
        if records_changed {
            self.rewrite(services);
            return;
        }
        for (place, (_, interface)) in (self.first..).zip(self.records()) {
            let word = self
                .maps
                .mark_rules
                .word(place, offset_of!(abi::MarkRule, interface));
            if let Some(word) = word {
                word.store(interface, Ordering::Release);
            }
        }
    }

    /// The records that packets are compared with: each rule with each of its interfaces. As many as there is room
    /// for, which interfaces that came later may exceed.
    fn records(&self) -> impl Iterator<Item = (&Placed, u32)> {
        let rules = self.rules.iter().filter(|placed| key_of(placed).is_none());
        rules
            .flat_map(|placed| placed.interfaces.iter().map(move |&index| (placed, index)))
            .take(MAX_RULES as usize)
    }

    /// Writes the rules that packets are compared with where no packet looks, and switches over to them.
    fn rewrite(&mut self, services: &Services) {
        // Packets may still look where the rules were before these.
        wait_for_readers();
        self.first = if self.first == 0 { MAX_RULES } else { 0 };
        for (place, (placed, interface)) in (self.first..).zip(self.records()) {
            let record = placed.record(services);
            let record = abi::MarkRule {
                interface,
                ..record
            };
            self.maps.mark_rules.write(place, record);
        }
        self.publish(number(self.records().count()));
    }

    fn publish(&self, count: u32) {
        self.store(
            offset_of!(Config, mark_rules),
            Config::mark_run(self.first, count),
        );
    }

    fn store(&self, offset: usize, value: u32) {
        if let Some(word) = self.maps.config.word(0, offset) {
            word.store(value, Ordering::Release);
        }
    }
}

/// The key that packets find a rule by; `None`: they are compared with it.
fn key(rule: &MarkRule) -> Option<ServiceKey> {
    let MarkRule {
        protocol: Some(protocol),
        address,
        prefix: None,
        last_port: None,
        source: None,
        source_ports: None,
        interface: None,
        ..
    } = *rule
    else {
        return None;
    };
    Some(keys::key(&ServiceId::Address { protocol, address }))
}

fn key_of(placed: &Placed) -> Option<ServiceKey> {
    key(&placed.rule)
}

fn keyed(placed: &Placed, services: &Services) -> KeyedMark {
    KeyedMark {
        marked: placed.marked(services),
        mark: placed.rule.mark,
        reserved: 0,
    }
}

fn words(network: Network) -> AddressWords {
    address_words(widen(network.address))
}

/// The bits that a prefix covers.
fn mask(network: Network) -> AddressWords {
    let Network { address, prefix } = network;
    let ones: IpAddr = match address {
        IpAddr::V4(_) => IpAddr::V4(u32::MAX.into()),
        IpAddr::V6(_) => IpAddr::V6(u128::MAX.into()),
    };
    Network::new(ones, prefix).map_or_else(|_| AddressWords::new_zeroed(), words)
}

/// Indices of the interfaces that a rule names; 0: any.
fn indices(rule: &MarkRule) -> Vec<u32> {
    let Some(name) = &rule.interface else {
        return vec![0];
    };
    let mut found = match name.strip_suffix('+') {
        Some(start) => indices_of(|name| name.starts_with(start)),
        None => nix::net::if_::if_nametoindex(name.as_str())
            .into_iter()
            .collect(),
    };
    if found.is_empty() {
        found.push(abi::MarkRule::NO_INTERFACE);
    }
    found
}

/// Indices of the interfaces whose names are such.
fn indices_of(such: impl Fn(&str) -> bool) -> Vec<u32> {
    let interfaces = nix::net::if_::if_nameindex();
    let interfaces = interfaces.iter().flat_map(|interfaces| interfaces.iter());
    interfaces
        .filter(|interface| interface.name().to_str().is_ok_and(&such))
        .map(nix::net::if_::Interface::index)
        .collect()
}

/// There are at most [`MAX_RULES`].
fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(MAX_RULES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_read_back_from_its_record() {
        let services = Services::default();
        for (text, address) in [
            ("", "192.0.2.10:0"),
            (
                r#","protocol":"udp","prefix":24,"last_port":90"#,
                "192.0.2.0:80",
            ),
            (
                r#","source":"198.51.100.0/25","interface":"lo""#,
                "192.0.2.10:443",
            ),
            (
                r#","source_ports":{"first":0,"last":1023}"#,
                "192.0.2.10:443",
            ),
            (r#","source":"2001:db8::/33","prefix":0"#, "[::]:443"),
            (
                r#","interface":"l+","mark":0,"unmarked":true"#,
                "192.0.2.10:443",
            ),
        ] {
            let mark = if text.contains("mark") {
                ""
            } else {
                r#","mark":7"#
            };
            let rule = format!(r#"{{"address":"{address}"{mark}{text}}}"#);
            let rule: MarkRule = serde_json::from_str(&rule).unwrap();
            let rule = rule.canonical().unwrap();
            assert_eq!(key(&rule), None);
            let placed = Placed::new(9, rule);
            for record in placed.records(&services) {
                let read = Placed::of_record(&record).unwrap();
                assert_eq!((read.place, &read.rule), (9, &placed.rule));
            }
        }
        assert!(Placed::of_record(&abi::MarkRule::new_zeroed()).is_none());
    }

    #[test]
    fn a_rule_about_names_that_begin_alike_has_a_record_for_each_interface() {
        let indices = |name: &str| {
            let rule = format!(r#"{{"address":"192.0.2.1:0","mark":7,"interface":"{name}"}}"#);
            indices(&serde_json::from_str(&rule).unwrap())
        };
        let loopback = nix::net::if_::if_nametoindex("lo").unwrap();
        assert!(indices("l+").contains(&loopback));
        assert_eq!(indices("lo"), [loopback]);
        assert_eq!(indices("no-such+"), [abi::MarkRule::NO_INTERFACE]);
    }
}

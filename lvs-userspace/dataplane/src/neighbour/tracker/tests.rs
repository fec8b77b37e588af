use std::time::Duration;

use super::*;
use crate::neighbour::tables::Address;
use crate::neighbour::update::Prefix;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const MOVED: [u8; 6] = [2, 0, 0, 0, 0, 3];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn interface(mtu: u32) -> Interface {
    Interface {
        mtu,
        ..Interface::example("eth0", "")
    }
}

fn gateway() -> NeighbourKey {
    NeighbourKey {
        interface: 1,
        address: ip("10.0.0.254"),
    }
}

fn via_gateway() -> Route {
    Route::Unicast {
        interface: 1,
        gateway: Some(gateway().address),
        source: None,
        mtu: None,
    }
}

fn on_link() -> Route {
    Route::Unicast {
        interface: 1,
        gateway: None,
        source: None,
        mtu: None,
    }
}

/// A tracker that follows 192.0.2.1 to 192.0.2.9 through a gateway it knows.
fn tracker(now: Instant) -> Tracker {
    let mut tracker = Tracker::default();
    tracker.apply(Update::Interface(1, Some(interface(1500))), now);
    tracker.apply(
        Update::Neighbour(gateway(), Some(Neighbour::Known(MAC))),
        now,
    );
    tracker.follow_exactly(&(1..=9).map(|last| [192, 0, 2, last].into()).collect());
    answer(&mut tracker, &via_gateway(), now);
    assert_eq!(tracker.drain_changes().len(), 9);
    tracker
}

/// Answers all lookups, and says how many there were.
fn answer(tracker: &mut Tracker, route: &Route, now: Instant) -> usize {
    let mut count = 0;
    while tracker.has_lookups() {
        let lookups = tracker.pop_lookups(4);
        count += lookups.len();
        for address in lookups {
            tracker.set_route(address, route.clone(), now);
        }
    }
    count
}

fn changed(tracker: &mut Tracker) -> Vec<String> {
    tracker
        .drain_changes()
        .iter()
        .map(|change| change.address.to_string())
        .collect()
}

#[test]
fn every_new_address_is_reported_once_its_route_is_known() {
    let (mut tracker, now) = (Tracker::default(), Instant::now());
    tracker.follow_exactly(&[ip("192.0.2.1"), ip("2001:db8::1")].into());
    assert_eq!(tracker.drain_changes(), []);
    assert_eq!(answer(&mut tracker, &Route::None("nowhere".into()), now), 2);
    assert_eq!(changed(&mut tracker), ["192.0.2.1", "2001:db8::1"]);
    assert!(tracker.is_idle());
}

#[test]
fn a_neighbour_concerns_only_those_who_use_it_and_no_route() {
    let now = Instant::now();
    let mut tracker = tracker(now);
    tracker.follow_exactly(&[ip("192.0.2.1"), ip("10.0.0.5")].into());
    answer(&mut tracker, &on_link(), now);
    assert_eq!(changed(&mut tracker), ["10.0.0.5"]);
    tracker.apply(
        Update::Neighbour(gateway(), Some(Neighbour::Known(MOVED))),
        now,
    );
    assert!(!tracker.has_lookups());
    assert_eq!(changed(&mut tracker), ["192.0.2.1"]);
}

#[test]
fn updates_that_repeat_what_is_known_change_nothing() {
    let now = Instant::now();
    let mut tracker = tracker(now);
    tracker.apply(Update::Interface(1, Some(interface(1500))), now);
    tracker.apply(
        Update::Neighbour(gateway(), Some(Neighbour::Known(MAC))),
        now,
    );
    assert!(tracker.is_idle());
    // There and back before anybody looked is no change either.
    tracker.apply(Update::Neighbour(gateway(), Some(Neighbour::Failed)), now);
    tracker.apply(
        Update::Neighbour(gateway(), Some(Neighbour::Known(MAC))),
        now,
    );
    assert_eq!(tracker.drain_changes(), []);
    tracker.apply(Update::AllRoutes, now);
    assert_eq!(answer(&mut tracker, &via_gateway(), now), 9);
    assert_eq!(tracker.drain_changes(), []);
}

#[test]
fn a_route_concerns_the_addresses_within_it() {
    let now = Instant::now();
    let mut tracker = tracker(now);
    let mut lookups = |address: &str, length| {
        tracker.apply(
            Update::Routes(Prefix {
                address: ip(address),
                length,
            }),
            now,
        );
        answer(&mut tracker, &via_gateway(), now)
    };
    assert_eq!(lookups("192.0.2.8", 29), 2);
    assert_eq!(lookups("192.0.2.3", 32), 1);
    assert_eq!(lookups("0.0.0.0", 0), 9);
    assert_eq!(lookups("::", 0), 0);
    assert_eq!(lookups("198.51.100.0", 24), 0);
}

#[test]
fn what_is_looked_up_again_is_not_reported_by_the_old_route() {
    let now = Instant::now();
    let mut tracker = tracker(now);
    tracker.apply(
        Update::Neighbour(gateway(), Some(Neighbour::Known(MOVED))),
        now,
    );
    tracker.apply(
        Update::Routes(Prefix {
            address: ip("192.0.2.1"),
            length: 32,
        }),
        now,
    );
    assert_eq!(tracker.drain_changes().len(), 8);
    assert!(!tracker.is_idle());
    answer(&mut tracker, &Route::Local, now);
    let local = Change {
        address: ip("192.0.2.1"),
        resolution: Resolution::Local,
    };
    assert_eq!(tracker.drain_changes(), [local]);
}

#[test]
fn a_link_or_an_address_that_changes_can_move_any_route() {
    let now = Instant::now();
    let mut tracker = tracker(now);
    let address = Address {
        ip: ip("10.0.0.1"),
        global: true,
        preferred: true,
        host: false,
    };
    for update in [
        Update::Interface(1, Some(interface(1400))),
        Update::Address(1, address),
        Update::AddressRemoved(1, address.ip),
        Update::Interface(1, None),
    ] {
        tracker.apply(update.clone(), now);
        assert_eq!(answer(&mut tracker, &via_gateway(), now), 9, "{update:?}");
        assert_eq!(tracker.drain_changes().len(), 9, "{update:?}");
    }
    // But not one that is down before and after, such as a container's while it is made.
    tracker.apply(
        Update::Interface(
            2,
            Some(Interface {
                up: false,
                ..interface(1500)
            }),
        ),
        now,
    );
    assert!(tracker.is_idle());
}

#[test]
fn looking_up_again_does_not_put_off_a_refresh() {
    let now = Instant::now();
    let mut tracker = tracker(now);
    let due = tracker.next_refresh().unwrap();
    let later = now + Duration::from_secs(5);
    for _ in 0..60 {
        tracker.review(60);
        answer(&mut tracker, &via_gateway(), later);
    }
    assert_eq!(tracker.next_refresh(), Some(due));
    assert_eq!(tracker.pop_refreshes(due, 9), [gateway()]);
}

#[test]
fn a_neighbour_written_by_the_operator_is_never_asked_for() {
    let now = Instant::now();
    let mut tracker = tracker(now);
    tracker.apply(
        Update::Neighbour(gateway(), Some(Neighbour::Fixed(MOVED))),
        now,
    );
    assert_eq!(tracker.drain_changes().len(), 9);
    assert_eq!(tracker.next_refresh(), None);
    tracker.apply(Update::Neighbour(gateway(), None), now);
    assert_eq!(tracker.pop_refreshes(now, 9), [gateway()]);
}

#[test]
fn a_neighbour_is_asked_for_as_long_as_somebody_uses_it() {
    let now = Instant::now();
    let mut tracker = tracker(now);
    tracker.apply(Update::Neighbour(gateway(), None), now);
    assert_eq!(tracker.pop_refreshes(now, 9), [gateway()]);
    tracker.follow_exactly(&[ip("192.0.2.1")].into());
    assert!(tracker.next_refresh().is_some());
    tracker.apply(Update::AllRoutes, now);
    answer(&mut tracker, &Route::Local, now);
    assert_eq!(tracker.next_refresh(), None);
}

#[test]
fn a_refusal_is_a_reason_only_while_the_neighbour_is_not_known() {
    let now = Instant::now();
    let mut tracker = tracker(now);
    tracker.set_refused(gateway(), "too many".into(), now);
    assert!(tracker.is_idle());
    tracker.apply(Update::Neighbour(gateway(), None), now);
    tracker.set_refused(gateway(), "too many".into(), now);
    let changes = tracker.drain_changes();
    assert_eq!(changes.len(), 9);
    assert!(
        matches!(&changes[0].resolution, Resolution::Unresolved(why) if why.ends_with("too many"))
    );
}

#[test]
fn starting_over_reports_only_what_was_missed() {
    let now = Instant::now();
    let mut tracker = tracker(now);
    let tables = |mac| {
        let neighbour = Update::Neighbour(gateway(), Some(Neighbour::Known(mac)));
        vec![Update::Interface(1, Some(interface(1500))), neighbour]
    };
    tracker.replace(tables(MAC), now);
    assert_eq!(answer(&mut tracker, &via_gateway(), now), 9);
    assert_eq!(tracker.drain_changes(), []);
    tracker.replace(tables(MOVED), now);
    assert_eq!(answer(&mut tracker, &via_gateway(), now), 9);
    assert_eq!(tracker.drain_changes().len(), 9);
    // A neighbour that got lost meanwhile is requested.
    tracker.replace(vec![Update::Interface(1, Some(interface(1500)))], now);
    assert_eq!(tracker.pop_refreshes(now, 9), [gateway()]);
}

#[test]
fn a_review_comes_to_every_address() {
    let now = Instant::now();
    let mut tracker = tracker(now);
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        tracker.review(3);
        let before = seen.len();
        while tracker.has_lookups() {
            seen.extend(tracker.pop_lookups(9));
        }
        assert_eq!(seen.len(), before + 3);
    }
    assert_eq!(seen.len(), 9);
}

#[test]
fn everyones_route_is_looked_up_also_where_all_routes_change_all_the_time() {
    let now = Instant::now();
    let mut tracker = tracker(now);
    let mut seen = BTreeSet::new();
    for _ in 0..5 {
        tracker.apply(Update::AllRoutes, now);
        seen.extend(tracker.pop_lookups(2));
    }
    assert_eq!(seen.len(), 9);
}

#[test]
fn one_no_longer_followed_is_forgotten_and_new_when_it_returns() {
    let now = Instant::now();
    let mut tracker = tracker(now);
    tracker.follow_exactly(&BTreeSet::new());
    assert_eq!(tracker.next_refresh(), None);
    tracker.set_route(ip("192.0.2.1"), Route::Local, now);
    tracker.apply(Update::AllRoutes, now);
    assert!(tracker.is_idle());
    tracker.follow_exactly(&[ip("192.0.2.1")].into());
    answer(&mut tracker, &via_gateway(), now);
    assert_eq!(changed(&mut tracker), ["192.0.2.1"]);
}

#[test]
fn a_prefix_is_a_range_of_addresses() {
    for (address, length, first, last) in [
        ("10.1.2.3", 32, "10.1.2.3", "10.1.2.3"),
        ("10.1.2.3", 20, "10.1.0.0", "10.1.15.255"),
        ("10.1.2.3", 0, "0.0.0.0", "255.255.255.255"),
        ("2001:db8::1", 128, "2001:db8::1", "2001:db8::1"),
        (
            "2001:db8::1",
            32,
            "2001:db8::",
            "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
        ),
        ("::", 0, "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("10.1.2.3", 200, "10.1.2.3", "10.1.2.3"),
    ] {
        let range = Prefix {
            address: ip(address),
            length,
        }
        .range();
        assert_eq!(range, ip(first)..=ip(last), "{address}/{length}");
    }
}

#[test]
fn a_change_of_the_addresses_touches_no_other() {
    let now = Instant::now();
    let mut tracker = Tracker::default();
    tracker.apply(Update::Interface(1, Some(interface(1500))), now);
    let set = |last: std::ops::RangeInclusive<u8>| -> BTreeSet<IpAddr> {
        last.map(|last| [192, 0, 2, last].into()).collect()
    };
    let mut followed = Followed::default();
    for (addresses, new) in [
        (set(1..=9), set(1..=9)),
        (set(1..=10), set(10..=10)),
        (set(3..=10), BTreeSet::new()),
        (
            set(2..=11),
            [2, 11].map(|last| [192, 0, 2, last].into()).into(),
        ),
    ] {
        followed.set(|| addresses.iter().copied());
        tracker.follow(&followed);
        assert_eq!(tracker.unrouted, new);
        assert!(tracker.followed.keys().eq(&addresses));
        answer(&mut tracker, &via_gateway(), now);
    }
}

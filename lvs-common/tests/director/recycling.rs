//! Entries earn their keep: what a flood made goes first, what carried packets over some time stays.

use std::collections::HashMap;
use std::sync::atomic::Ordering::SeqCst;

use lvs_common::abi::{Crowd, Method, Pick, WAYS, ticks};
use lvs_common::connection::table::{self, PROVEN_PACKETS, PROVEN_TIME, Standing, Ways};
use lvs_common::connection::{Kind, Protocol, Tag, tcp};
use lvs_common::family::V4;
use lvs_common::verdict::Reason;
use proptest::prelude::*;

use super::frames::{ACK, Draft, FIN, RST, SYN, at};
use super::hashing::{key4, place};
use super::memory::Director;

const ATTACKED: &str = "192.0.2.1:80";
const OTHER: &str = "192.0.2.2:80";
const SERVER: &str = "10.0.0.1:80";

/// A director with a service at each address, of one server that is reached by the method beside it.
fn director(sets: u32, protocol: Protocol, services: &[(&str, Method)]) -> Director {
    let mut director = Director::with_sets(sets);
    for &(address, method) in services {
        let service = director.serve(protocol, at(address), Pick::Rotate);
        director.add(service, at(SERVER), method, 1);
    }
    director
}

fn client(number: u32) -> String {
    let [_, a, b, c] = number.to_be_bytes();
    format!("100.{a}.{b}.{c}:1024")
}

fn segment(number: u32, to: &str, flags: u8) -> Draft {
    Draft::tcp(&client(number), to, flags)
}

fn reason(director: &Director, draft: &Draft) -> Reason {
    let (verdict, _) = director.handle(&draft.frame());
    verdict.reason().expect("a known reason")
}

fn wait(director: &Director, ticks: u32) {
    director.clock.fetch_add(ticks, SeqCst);
}

/// Makes connections that are proven, and says so of each afterwards.
fn prove(director: &Director, numbers: impl IntoIterator<Item = u32> + Clone, to: &str) {
    for number in numbers.clone() {
        for flags in [SYN, ACK, ACK] {
            assert!(reason(director, &segment(number, to, flags)) != Reason::NoConnection);
        }
    }
    wait(director, PROVEN_TIME);
    for number in numbers {
        reason(director, &segment(number, to, ACK));
    }
}

/// Every reply entry has its connection, every connection by NAT its reply entry, and loads are exact.
fn is_whole(director: &Director) {
    let by_number = |number: u32| {
        let index = number.checked_sub(1)?;
        let set = director.sets4().get((index / WAYS) as usize)?;
        Some((set, index % WAYS))
    };
    let mut connections = 0;
    for (set_number, set) in (0..).zip(director.sets4()) {
        for way in 0..WAYS {
            let tag = Ways::<V4>::tag(set, way);
            if tag.is_free() {
                continue;
            }
            assert!(tag.is_live(), "a way is stuck");
            let kind = Kind::from_raw(set.key(way).kind);
            connections += u32::from(kind == Kind::Request);
            let nat = Method::from_raw(set.record(way).method) == Method::Nat;
            if nat {
                let (other, at) = by_number(set.partner(way)).expect("a partner");
                assert!(Ways::<V4>::tag(other, at).is_live());
                assert_eq!(other.partner(at), set_number * WAYS + way + 1);
            }
        }
    }
    let loads = (0..director.servers.len()).map(|server| {
        let (active, inactive) = director.connections(u32::try_from(server).expect("few"));
        active + inactive
    });
    assert_eq!(loads.sum::<u32>(), connections);
}

fn standing(packets: u32, seen: u32, born: u32) -> Standing {
    let tag = Tag(0).claimed(0).live(tcp::State::Established as u8, false);
    Standing {
        tag,
        protocol: 6,
        packets,
        seen,
        born: table::alone(born),
    }
}

#[test]
fn a_connection_is_proven_by_more_than_a_few_packets_over_some_time() {
    for born in [0, 5, u32::MAX / 2 - 7, u32::MAX - 100] {
        let after =
            |packets, time: u32| standing(packets, born.wrapping_add(time), born).is_proven();
        assert!(after(PROVEN_PACKETS, PROVEN_TIME));
        assert!(!after(PROVEN_PACKETS - 1, PROVEN_TIME), "too few packets");
        assert!(!after(1_000, PROVEN_TIME - 1), "all at once");
        assert!(after(1_000, ticks(20 * 24 * 3_600)), "for weeks");
        let ahead = standing(1_000, born.wrapping_sub(2), born);
        assert!(!ahead.is_proven(), "another CPU's clock was ahead");
        assert!(after(0, 0), "another director judged it");
    }
}

#[test]
fn a_connection_that_is_closing_is_not_proven() {
    let in_state = |protocol: Protocol, state: u8| {
        let mut standing = standing(1_000, ticks(100), 0);
        standing.protocol = protocol.number();
        standing.tag = standing.tag.live(state, false);
        standing.is_proven()
    };
    for state in tcp::State::ALL {
        let closing = matches!(
            state,
            tcp::State::FinWait
                | tcp::State::TimeWait
                | tcp::State::Close
                | tcp::State::CloseWait
                | tcp::State::LastAck
        );
        assert_eq!(in_state(Protocol::Tcp, state as u8), !closing, "{state:?}");
    }
    for state in 0..14 {
        let closing = state > 8;
        assert_eq!(in_state(Protocol::Sctp, state), !closing, "{state}");
    }
    assert!(in_state(Protocol::Udp, 0));
}

#[test]
fn a_flood_of_two_packets_each_finds_room_and_takes_that_of_no_proven_connection() {
    for method in [Method::Direct, Method::Tunnel, Method::Nat] {
        for second in [ACK, FIN, RST] {
            let director = director(1, Protocol::Tcp, &[(ATTACKED, method)]);
            prove(&director, 1..=2, ATTACKED);
            for number in 1_000..2_000 {
                wait(&director, 1);
                for flags in [SYN, second] {
                    let reason = reason(&director, &segment(number, ATTACKED, flags));
                    assert!(
                        matches!(reason, Reason::Direct | Reason::Tunnel | Reason::Nat),
                        "{method:?}, {second}: {reason:?}"
                    );
                }
                is_whole(&director);
            }
            let before = director.stats(0).connections;
            for number in 1..=2 {
                reason(&director, &segment(number, ATTACKED, ACK));
            }
            let states = director.states();
            let established = states.iter().filter(|(_, state)| *state == "ESTABLISHED");
            assert!(established.count() >= 2);
            assert_eq!(director.stats(0).connections, before);
        }
    }
}

#[test]
fn a_flood_of_two_datagrams_each_takes_the_room_of_no_proven_flow() {
    for method in [Method::Direct, Method::Nat] {
        let director = director(1, Protocol::Udp, &[(ATTACKED, method)]);
        let send = |number| reason(&director, &Draft::udp(&client(number), ATTACKED));
        for _ in 0..PROVEN_PACKETS {
            for number in 1..=2 {
                send(number);
            }
            wait(&director, PROVEN_TIME);
        }
        for number in 1_000..2_000 {
            wait(&director, 1);
            for _ in 0..2 {
                assert!(matches!(send(number), Reason::Direct | Reason::Nat));
            }
            is_whole(&director);
        }
        let before = director.stats(0).connections;
        for number in 1..=2 {
            send(number);
        }
        assert_eq!(
            director.stats(0).connections,
            before,
            "both are still known"
        );
    }
}

#[test]
fn a_connection_that_is_over_makes_room_before_one_that_was_heard_later() {
    let director = director(1, Protocol::Tcp, &[(ATTACKED, Method::Direct)]);
    prove(&director, 1..=8, ATTACKED);
    assert_eq!(
        reason(&director, &segment(9, ATTACKED, SYN)),
        Reason::Stateless
    );
    reason(&director, &segment(5, ATTACKED, RST));
    assert_eq!(
        reason(&director, &segment(9, ATTACKED, SYN)),
        Reason::Direct
    );
    let states = director.states();
    assert!(!states.iter().any(|(_, state)| *state == "CLOSE"));
    is_whole(&director);
}

/// The share of honest clients with a round trip of 200 ms whose every packet found its connection, in percent,
/// while a flood begins so many connections of these packets per minute, ten times as many as the table has room
/// for.
fn honest(method: Method, attack: &[u8]) -> u32 {
    const SETS: u32 = 128;
    const SECONDS: u32 = 30;
    let director = director(
        SETS,
        Protocol::Tcp,
        &[(ATTACKED, Method::Direct), (OTHER, method)],
    );
    // Proven ones that are heard now and then.
    let kept = 1..=SETS;
    prove(&director, kept.clone(), OTHER);
    let flows = SETS * WAYS * 10 * SECONDS / 60;
    let trip = ticks(1) / 5;
    let mut due: HashMap<u32, Vec<(u32, bool, u8)>> = HashMap::new();
    let mut failed = std::collections::HashSet::new();
    let (mut begun, mut flood) = (0, 0);
    for tick in 0..ticks(SECONDS) {
        wait(&director, 1);
        while flood * ticks(SECONDS) < flows * tick {
            flood += 1;
            for flags in attack {
                reason(&director, &segment(1_000_000 + flood, ATTACKED, *flags));
            }
        }
        if tick % (trip / 4) == 0 {
            begun += 1;
            let number = 500_000 + begun;
            due.entry(tick).or_default().push((number, true, SYN));
            if method == Method::Nat {
                due.entry(tick + 1)
                    .or_default()
                    .push((number, false, SYN | ACK));
                due.entry(tick + trip + 2)
                    .or_default()
                    .push((number, false, ACK));
            }
            // The handshake's end with a request, then what acknowledges the answer, then the end.
            for (later, flags) in [(1, ACK), (1, ACK), (2, ACK), (3, FIN | ACK)] {
                due.entry(tick + later * trip)
                    .or_default()
                    .push((number, true, flags));
            }
        }
        for (number, from_client, flags) in due.remove(&tick).unwrap_or_default() {
            let draft = if from_client {
                segment(number, OTHER, flags)
            } else {
                Draft::tcp(SERVER, &client(number), flags)
            };
            let reason = reason(&director, &draft);
            let known = matches!(reason, Reason::Direct | Reason::Nat | Reason::NatReply);
            if !known {
                failed.insert(number);
            }
        }
        if tick % ticks(5) == 0 {
            for number in kept.clone() {
                reason(&director, &segment(number, OTHER, ACK));
            }
        }
    }
    is_whole(&director);
    for number in kept {
        let key = lvs_common::connection::Key {
            source: {
                let [_, a, b, c] = number.to_be_bytes();
                [100, a, b, c]
            },
            destination: [192, 0, 2, 2],
            ..key4(0, 1024)
        };
        let place = place(&director, &key);
        assert!(
            table::find(&director, &key, place).is_some(),
            "{number} was recycled"
        );
    }
    let failed = u32::try_from(failed.len()).expect("few");
    println!("{method:?}, {attack:?}: {failed} of {begun} failed in a flood of {flood}");
    100 - failed * 100 / begun
}

#[test]
fn honest_clients_over_slow_paths_succeed_in_floods_of_ten_times_the_table_a_minute() {
    for method in [Method::Direct, Method::Nat] {
        for attack in [&[SYN][..], &[SYN, ACK], &[SYN, FIN], &[SYN, ACK, ACK]] {
            assert!(honest(method, attack) >= 99, "{method:?} {attack:?}");
        }
    }
}

/// Says, as the daemon would, that the first service of a director holds more than its share.
fn crowd(director: &mut Director) {
    director.config.crowds[0] = Crowd {
        service: 1,
        said: director.clock.load(SeqCst),
    };
}

#[test]
fn a_service_above_its_share_gives_to_others_first_and_gets_nothing_from_them() {
    for long_indexes in [false, true] {
        a_service_above_its_share(long_indexes);
    }
}

fn a_service_above_its_share(long_indexes: bool) {
    let services = [(ATTACKED, Method::Direct), (OTHER, Method::Direct)];
    let mut director = director(1, Protocol::Tcp, &services);
    director.long_indexes = long_indexes;
    // The other service's are the oldest, and as unproven as the rest.
    for number in 1..=2 {
        for flags in [SYN, ACK] {
            reason(&director, &segment(number, OTHER, flags));
        }
    }
    wait(&director, 100);
    for number in 1_001..=1_006 {
        for flags in [SYN, ACK] {
            reason(&director, &segment(number, ATTACKED, flags));
        }
    }
    crowd(&mut director);
    let held = |director: &Director| {
        let (active, inactive) = director.connections(1);
        active + inactive
    };
    assert_eq!(held(&director), 2);
    for number in 2_000..2_100 {
        assert_eq!(
            reason(&director, &segment(number, ATTACKED, SYN)),
            Reason::Direct
        );
        assert_eq!(held(&director), 2, "it lives on what it has");
    }
    for number in 3..=8 {
        for flags in [SYN, ACK] {
            assert_eq!(
                reason(&director, &segment(number, OTHER, flags)),
                Reason::Direct
            );
        }
        assert_eq!(held(&director), number, "others take from it");
    }
    // Nothing of its own is left that it could recycle.
    for flags in [SYN, ACK] {
        assert_eq!(
            reason(&director, &segment(3_000, ATTACKED, flags)),
            Reason::Stateless
        );
    }
    is_whole(&director);
    // A daemon that is gone confines nobody.
    director.pass_time(11);
    assert_eq!(
        reason(&director, &segment(3_001, ATTACKED, SYN)),
        Reason::Direct
    );
}

#[test]
fn a_service_above_its_share_takes_no_free_way() {
    let services = [(ATTACKED, Method::Direct), (OTHER, Method::Direct)];
    let mut director = director(1, Protocol::Tcp, &services);
    prove(&director, 1..=3, ATTACKED);
    crowd(&mut director);
    for flags in [SYN, ACK] {
        assert_eq!(
            reason(&director, &segment(9, ATTACKED, flags)),
            Reason::Stateless
        );
    }
    for number in 1..=3 {
        assert_eq!(
            reason(&director, &segment(number, ATTACKED, ACK)),
            Reason::Direct,
            "those that it has stay"
        );
    }
    assert_eq!(reason(&director, &segment(9, OTHER, SYN)), Reason::Direct);
}

/// What a model knows of a flow.
#[derive(Clone, Copy, Default)]
struct Flow {
    born: u32,
    seen: u32,
    packets: u32,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 4, ..ProptestConfig::default() })]

    /// Datagrams of many flows at any pace: one that is proven is found as long as it is not expired.
    #[test]
    fn what_is_proven_stays_whatever_comes(
        method in prop_oneof![Just(Method::Direct), Just(Method::Nat)],
        sets in 1..3_u32,
        packets in proptest::collection::vec((0..24_u32, 0..400_u32), 1..300),
    ) {
        let director = director(sets, Protocol::Udp, &[(ATTACKED, method)]);
        let mut flows = [Flow::default(); 24];
        let found = |number: u32| {
            let key = lvs_common::connection::Key {
                source: [100, 0, 0, u8::try_from(number).expect("few")],
                protocol: 17,
                ..key4(0, 1024)
            };
            let place = place(&director, &key);
            table::find(&director, &key, place).is_some()
        };
        for (number, pause) in packets {
            wait(&director, pause);
            let now = director.clock.load(SeqCst);
            let known = found(number);
            reason(&director, &Draft::udp(&client(number), ATTACKED));
            let flow = &mut flows[number as usize];
            if !known {
                *flow = Flow { born: now, ..Flow::default() };
            }
            flow.packets += 1;
            flow.seen = now;
            for (number, flow) in (0..).zip(&flows) {
                let lasted = flow.seen.wrapping_sub(flow.born) >= PROVEN_TIME;
                if flow.packets >= PROVEN_PACKETS && lasted {
                    prop_assert!(found(number), "{number}");
                }
            }
            is_whole(&director);
        }
    }
}

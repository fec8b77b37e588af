//! Sweeps of tables in plain memory, which is what a table is to the daemon.

use std::mem::offset_of;

use lvs_common::abi::{Load, Method, SHORT_INDEXES, ticks};
use lvs_common::connection::{Entry, tcp};
use lvs_common::family::V4;

use super::*;

const WAYS: u32 = 64;
const SERVER: u32 = 3;
/// Its service.
const SERVICE: u32 = 7;
const NOW: u32 = 1_000_000;

struct Fixture {
    table: EntryMapping<V4>,
    loads: ServerLoads,
    sweeper: Sweeper,
}

impl Fixture {
    fn new() -> Self {
        let fixture = Self {
            table: EntryMapping::zeroed(WAYS),
            loads: ServerLoads::zeroed(8),
            sweeper: Sweeper::default(),
        };
        fixture.loads.write(
            SERVER,
            Load {
                counts: 5 << 32 | 5,
                templates: 5,
                ..Load::default()
            },
        );
        fixture
    }

    /// A way with a live entry that was seen so many ticks ago.
    fn put(&self, way: u32, kind: Kind, state: tcp::State, idle: u32, partner: u32) -> Tag {
        let tag = Tag::default().claimed(0xabcd_0000).live(state as u8, false);
        let mut entry = self.table.read(way).unwrap();
        entry.tag = tag.0;
        entry.seen = NOW.wrapping_sub(idle);
        entry.timeout = 100;
        entry.key.protocol = 6;
        entry.key.kind = kind as u8;
        entry.record = self.loads.new_record(SERVER, SERVICE, Method::Direct);
        entry.partner = partner;
        self.table.write(way, entry);
        tag
    }

    fn sweep(&mut self) -> Swept {
        self.sweeper.sweep(&self.table, &self.loads, NOW)
    }

    fn load(&self) -> (u32, u32, u32) {
        let load = self.loads.read(SERVER).unwrap();
        (load.active(), load.inactive(), load.templates)
    }

    fn is_free(&self, way: u32) -> bool {
        self.table.tag(way).unwrap().is_free()
    }
}

use tcp::State::{Established, FinWait};

#[test]
fn an_expired_connection_is_freed_and_counted_off_by_its_state() {
    let mut fixture = Fixture::new();
    fixture.put(0, Kind::Request, Established, 101, 0);
    fixture.put(9, Kind::Request, FinWait, 101, 0);
    assert_eq!(
        fixture.sweep(),
        Swept {
            live: 0,
            expired: 2,
            abandoned: 0
        }
    );
    assert_eq!(fixture.load(), (4, 4, 5));
    assert!(fixture.is_free(0) && fixture.is_free(9));
}

#[test]
fn an_expired_template_is_freed_by_the_sweep_that_looked_for_its_connections() {
    let mut fixture = Fixture::new();
    fixture.put(63, Kind::Template, Established, 101, 0);
    let stays = Swept {
        live: 1,
        ..Swept::default()
    };
    assert_eq!(fixture.sweep(), stays);
    assert_eq!(fixture.load(), (5, 5, 5));
    let goes = Swept {
        expired: 1,
        ..Swept::default()
    };
    assert_eq!(fixture.sweep(), goes);
    assert_eq!(fixture.load(), (5, 5, 4));
    assert!(fixture.is_free(63));
}

#[test]
fn a_template_that_no_sweep_met_in_time_stays_for_its_connections() {
    let mut fixture = Fixture::new();
    persistent(&fixture, 101, 100);
    fixture.sweep();
    fixture.sweep();
    let template = fixture.table.read(5).unwrap();
    assert_eq!((template.seen, template.timeout), (NOW, ticks(60)));
    assert_eq!(fixture.load(), (5, 5, 5));
}

#[test]
fn a_connection_that_was_seen_in_time_stays() {
    let mut fixture = Fixture::new();
    fixture.put(0, Kind::Request, Established, 100, 0);
    // A packet that came after the sweep read its clock.
    fixture.put(1, Kind::Request, Established, 2u32.wrapping_neg(), 0);
    assert_eq!(
        fixture.sweep(),
        Swept {
            live: 2,
            expired: 0,
            abandoned: 0
        }
    );
    assert_eq!(fixture.load(), (5, 5, 5));
}

/// A template of 198.51.100.0/24 and a connection from there, each seen so many ticks ago.
fn persistent(fixture: &Fixture, template_idle: u32, connection_idle: u32) {
    for (way, kind, idle, host, persistence) in [
        (5, Kind::Template, template_idle, 0, 0),
        (4, Kind::Request, connection_idle, 77, 24 + 1),
    ] {
        fixture.put(way, kind, Established, idle, 0);
        let mut entry = fixture.table.read(way).unwrap();
        entry.key.source = [198, 51, 100, host];
        entry.record.persistence = persistence;
        fixture.table.write(way, entry);
    }
}

#[test]
fn a_template_stays_another_minute_while_its_connections_outlive_it() {
    let mut fixture = Fixture::new();
    persistent(&fixture, 99, 98);
    fixture.sweep();
    fixture.sweep();
    let template = fixture.table.read(5).unwrap();
    assert_eq!((template.seen, template.timeout), (NOW, ticks(60)));
}

#[test]
fn a_template_ends_when_its_connections_end_before_it_or_are_not_its_own() {
    let mut fixture = Fixture::new();
    persistent(&fixture, 98, 99);
    let mut stranger = fixture.table.read(4).unwrap();
    stranger.key.source = [198, 51, 99, 77];
    stranger.seen = NOW;
    stranger.tag = fixture.put(3, Kind::Request, Established, 0, 0).0;
    fixture.table.write(3, stranger);
    fixture.sweep();
    fixture.sweep();
    assert_eq!(fixture.table.read(5).unwrap().timeout, 100);
}

#[test]
fn a_template_that_was_just_used_keeps_its_own_time() {
    let mut fixture = Fixture::new();
    persistent(&fixture, 99, 0);
    let mut template = fixture.table.read(5).unwrap();
    template.timeout = ticks(300);
    template.seen = NOW.wrapping_sub(ticks(299));
    fixture.table.write(5, template);
    fixture.sweep();
    template.seen = NOW;
    fixture.table.write(5, template);
    fixture.sweep();
    assert_eq!(fixture.table.read(5).unwrap().timeout, ticks(300));
}

#[test]
fn the_reply_entry_goes_with_its_connection() {
    let mut fixture = Fixture::new();
    fixture.put(2, Kind::Request, Established, 101, 40 + 1);
    fixture.put(40, Kind::Reply, Established, 1_000, 2 + 1);
    assert_eq!(
        fixture.sweep(),
        Swept {
            live: 0,
            expired: 1,
            abandoned: 0
        }
    );
    assert!(fixture.is_free(2) && fixture.is_free(40));
    assert_eq!(fixture.load(), (4, 5, 5));
}

#[test]
fn a_reply_entry_lives_as_long_as_its_connection() {
    let mut fixture = Fixture::new();
    fixture.put(2, Kind::Request, Established, 10, 40 + 1);
    fixture.put(40, Kind::Reply, Established, 1_000, 2 + 1);
    for _ in 0..3 {
        assert_eq!(
            fixture.sweep(),
            Swept {
                live: 2,
                expired: 0,
                abandoned: 0
            }
        );
    }
}

#[test]
fn somebody_elses_way_is_left_alone() {
    let mut fixture = Fixture::new();
    fixture.put(2, Kind::Request, Established, 101, 40 + 1);
    // The way of the reply was given to another connection's reply.
    fixture.put(3, Kind::Request, Established, 10, 40 + 1);
    fixture.put(40, Kind::Reply, Established, 10, 3 + 1);
    assert_eq!(
        fixture.sweep(),
        Swept {
            live: 2,
            expired: 1,
            abandoned: 0
        }
    );
    assert!(!fixture.is_free(40));
}

#[test]
fn an_orphaned_reply_is_freed_by_the_second_sweep_that_meets_it() {
    let mut fixture = Fixture::new();
    fixture.put(40, Kind::Reply, Established, 0, 2 + 1);
    assert_eq!(fixture.sweep(), Swept::default());
    assert_eq!(
        fixture.sweep(),
        Swept {
            abandoned: 1,
            ..Swept::default()
        }
    );
    assert!(fixture.is_free(40));
    assert_eq!(fixture.load(), (5, 5, 5));
}

#[test]
fn a_way_that_was_left_busy_is_freed_by_the_second_sweep_that_meets_it() {
    let mut fixture = Fixture::new();
    let busy =
        |generations: u32| (0..generations).fold(Tag::default(), |tag, _| tag.claimed(0x1234_0000));
    let set = |fixture: &Fixture, tag: Tag| {
        fixture.table.store(7, offset_of!(Entry<V4>, tag), tag.0);
    };
    set(&fixture, busy(1));
    assert_eq!(fixture.sweep(), Swept::default());
    // Another claim of the way meanwhile: not the same one.
    set(&fixture, busy(2));
    assert_eq!(fixture.sweep(), Swept::default());
    assert_eq!(
        fixture.sweep(),
        Swept {
            abandoned: 1,
            ..Swept::default()
        }
    );
    assert!(fixture.is_free(7));
}

#[test]
fn a_freed_way_remembers_its_generation() {
    let mut fixture = Fixture::new();
    let before = fixture.put(0, Kind::Request, Established, 101, 0);
    fixture.sweep();
    let after = fixture.table.tag(0).unwrap();
    assert!(!after.claimed(0xabcd_0000).same_connection(before));
}

#[test]
fn two_sweepers_account_for_each_connection_once() {
    let fixture = Fixture::new();
    let (table, loads) = (&fixture.table, &fixture.loads);
    for _ in 0..50 {
        loads.write(
            SERVER,
            Load {
                counts: u64::from(WAYS),
                ..Load::default()
            },
        );
        for way in 0..WAYS {
            fixture.put(way, Kind::Request, Established, 101, 0);
        }
        let expired: u64 = std::thread::scope(|scope| {
            let sweeps = [(); 2]
                .map(|()| scope.spawn(|| Sweeper::default().sweep(table, loads, NOW).expired));
            sweeps.into_iter().map(|sweep| sweep.join().unwrap()).sum()
        });
        assert_eq!((expired, fixture.load().0), (u64::from(WAYS), 0));
    }
}

#[test]
fn the_service_of_an_entry_holds_it_in_both_layouts_of_records() {
    for (servers, server) in [(8, SERVER), (SHORT_INDEXES + 8, SHORT_INDEXES + SERVER)] {
        let mut fixture = Fixture {
            loads: ServerLoads::zeroed(servers),
            ..Fixture::new()
        };
        fixture.loads.assign(server, SERVICE);
        fixture.loads.assign(SERVER + 1, SERVICE + 1);
        for (way, idle) in [(0, 0), (9, 0), (17, 101)] {
            fixture.put(way, Kind::Request, Established, idle, 0);
            let mut entry = fixture.table.read(way).unwrap();
            entry.record = fixture.loads.new_record(server, SERVICE, Method::Direct);
            fixture.table.write(way, entry);
        }
        assert_eq!(fixture.sweep().expired, 1);
        let held: Vec<_> = (0..)
            .zip(fixture.sweeper.holdings())
            .filter(|(_, held)| **held > 0)
            .collect();
        assert_eq!(held, [(SERVICE, &2)], "{servers} servers");
        // The one that expired was counted off its own server.
        let load = |server| fixture.loads.read(server).unwrap().active();
        assert_eq!(load(server), u32::MAX);
        assert_eq!((load(SERVER + 1), load(SERVER + 2)), (0, 0));
    }
}

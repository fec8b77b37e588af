//! Working memory full of what an earlier packet left.

use lvs_common::abi::{EthernetAddresses, Method};
use lvs_common::connection::table::{Inserted, New, Survey};
use lvs_common::connection::{Client, Key, Protocol, Record, Signal, Tag};
use lvs_common::ethernet::{Egress, EthernetHeader, Vlans};
use lvs_common::family::Family;
use lvs_common::forward::{Answer, Candidates, Forward, Rewrite, Route, Source, StateChange, Wire};
use lvs_common::forward::{Stage, Work, Workspace};
use lvs_common::ftp::{Message, Reader};
use lvs_common::network::{Datagram, Part};
use lvs_common::routes::Lookup;
use lvs_common::scheduler::{LocalitySearch, Search};
use lvs_common::verdict::{Reason, Verdict};

use super::memory::ports;

/// What the last packet may have left in the workspace: nothing of it may matter.
pub(crate) fn stale() -> Workspace {
    Workspace {
        v4: work(),
        v6: work(),
    }
}

#[expect(clippy::too_many_lines, reason = "every field")]
fn work<F: Family>() -> Work<F> {
    let address = F::narrow(&[0xee; 16]);
    let key = Key {
        source: address,
        destination: address,
        ports: ports(0xeeee, 0xeeee),
        protocol: 0xee,
        kind: 0xee,
    };
    let record = Record::of_parts([0xeeee; 2], 0xee, 0);
    let client = Client {
        vlan: 0xeee.into(),
        generation: 0,
        ethernet: EthernetAddresses::new([0xee; 6], [0xee; 6]),
        interface: 0xee,
    };
    let datagram = Datagram {
        network: 777,
        transport: 777,
        end: 7777,
        source: address,
        destination: address,
        protocol: 0xee,
        hop_limit: 0xee,
        part: Part::Later,
        identification: 0xeeee,
    };
    Work {
        forward: Forward {
            interface: 0xee,
            ethernet: EthernetHeader {
                destination: [0xee; 6],
                source: [0xee; 6],
                tags: [0xeee.into(); 2],
                vlans: Vlans::of(0xeee.into(), 0x8100),
                ethertype: 0xeeee,
                payload: 777,
            },
            datagram,
            wire: Wire::one(0xeeee),
            protocol: Some(Protocol::Sctp),
            signal: Signal::Nothing,
            ports: ports(0xeeee, 0xeeee),
            hash: 0xeeee,
            now: 0xeeee,
            route: Route {
                source: Source::Known,
                ..Route::new(0xeeee, Method::Direct)
            },
            rewrite: Rewrite {
                source: address,
                destination: address,
                ports: ports(0xeeee, 0xeeee),
            },
            answer: Answer::NONE,
        },
        key,
        new: New {
            key,
            record,
            client,
            partner: 0xee,
            state: 3,
            half_open: true,
            pinned: false,
            now: 0xeeee,
            timeout: 0xeeee,
            survey: Survey::default(),
        },
        reply: Inserted {
            number: 0xee,
            tag: Tag(0xeeee),
        },
        candidates: Candidates::new(address, 7, [7, 77], 0xeeee, true),
        persistence: 0xee,
        service: 0,
        limits: 0xee,
        opened: 0xeeee,
        opens: 0xee,
        refused: 1,
        search: Search::new(0),
        locality: LocalitySearch::new(),
        data_server: 0xeeee,
        ftp: Reader::new(Message::Passive, 0xee),
        says: 0xff,
        stage: Stage::Icmp,
        number: 0xeeee,
        one_packet: true,
        established: true,
        before: 0xe,
        change: StateChange {
            number: 0xeeee,
            packets: 0xeeee,
            before: 0xe,
            state: 0xe,
        },
        client: Egress {
            ethernet: EthernetAddresses::new([0xee; 6], [0xee; 6]),
            tags: [0xeee.into(); 2],
            interface: 0xee,
        },
        way: client,
        waits: true,
        lookup: Lookup {
            family: 0xee,
            interface: 0xee,
            source: [0xee; 16],
            destination: [0xee; 16],
            ..Lookup::default()
        },
        answer: 0,
        asymmetric: 0xff,
        verdict: Verdict::drop(Reason::Unresolved),
        inner: datagram,
    }
}

//! The real BPF program on frames that a test makes: no interface, no daemon, no other process.
//!
//! The kernel loads and runs what `lvsd` embeds; the daemon's own director fills the tables.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use aya::programs::{TestRun as _, TestRunOptions};
use lvs_api::protocol::Service;
use lvs_common::abi::{EthernetAddresses, Hop, Interface, Mac, SHORT_INDEXES, UpperKey};
use lvs_common::verdict::Reason;
use lvs_config::rules;
use lvs_dataplane::director::{Director, NextHop};
use lvs_dataplane::kernel::{DataPath, Directory, Maps, Options};
use lvs_dataplane::source_checks;
use nix::mount::{MntFlags, umount2};
use parking_lot::{Mutex, MutexGuard};

use crate::lab::{Missing, skipped};

mod namespace;

/// The interface that frames come by unless a test says otherwise.
pub const INTERFACE: u32 = 2;
/// Another interface, to send by. Nothing is sent, so that it need not exist.
pub const OTHER_INTERFACE: u32 = 7;

/// Actions of `linux/pkt_cls.h`.
const TC_ACT_UNSPEC: i32 = -1;
const TC_ACT_SHOT: i32 = 2;
const TC_ACT_REDIRECT: i32 = 7;

/// ICMP errors per second and CPU.
pub const ICMP_RATE: u32 = 100;

/// The director's own Ethernet address towards real servers.
pub const DIRECTOR: Mac = [2, 0, 0, 0, 0, 1];

/// The program with tables of its own.
pub struct Object {
    data_path: DataPath,
    director: Mutex<Director>,
    buffers: bool,
}

/// The result of one run of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The XDP action.
    pub action: Action,
    /// The frame afterwards.
    pub frame: Vec<u8>,
}

/// XDP actions, by their numbers in `linux/bpf.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the kernel's names")]
pub enum Action {
    Aborted,
    Drop,
    Pass,
    Tx,
    Redirect,
}

impl Object {
    /// Loads the program with connection tables of so many entries for each family, and configures
    /// it with lines as `ipvsadm -S` prints them. `None`, with a line that says why, where this
    /// process may not.
    ///
    /// # Panics
    ///
    /// If it may load BPF programs but fails.
    pub fn load(entries: u32, lines: &str) -> Option<Self> {
        Self::load_way(entries, None, lines, false)
    }

    /// The same with room for so many real servers.
    ///
    /// # Panics
    ///
    /// If it may load BPF programs but fails.
    pub fn load_for_servers(entries: u32, servers: u32, lines: &str) -> Option<Self> {
        Self::load_way(entries, Some(servers), lines, false)
    }

    /// The same with the program that takes socket buffers. There is room for so many real servers that connections
    /// have the other layout of records.
    ///
    /// # Panics
    ///
    /// If it may load BPF programs but fails.
    pub fn load_tc(entries: u32, lines: &str) -> Option<Self> {
        Self::load_way(entries, Some(SHORT_INDEXES + 1), lines, true)
    }

    fn load_way(entries: u32, servers: Option<u32>, lines: &str, buffers: bool) -> Option<Self> {
        let root = nix::unistd::geteuid().is_root();
        let obstacle = root
            .then_some(())
            .ok_or_else(|| Missing("BPF needs root".into()));
        if skipped(obstacle) {
            return None;
        }
        let object = Self::open(entries, servers, buffers).expect("cannot load the program");
        object.configure(lines);
        Some(object)
    }

    fn open(entries: u32, servers: Option<u32>, buffers: bool) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let options = Options {
            services: None,
            servers,
            entries4: Some(entries),
            entries6: Some(entries),
            slots: Some(65_536),
            fragments: Some(256),
            filter_nodes: Some(65_536),
            rss_source: false,
            icmp_rate: ICMP_RATE,
            sync_threshold: 3,
            sync_period: 50,
            local_clients: false,
            program_log: 0,
        };
        let directory = Directory::open(folder.path())?;
        let (mut data_path, keys) = DataPath::open(directory, &options, false)?;
        if buffers {
            data_path.load_tc()?;
        } else {
            data_path.load_xdp()?;
        }
        // Nobody is to adopt this one: with its pins gone it ends with the process, however that ends.
        umount2(folder.path(), MntFlags::MNT_DETACH).context("cannot unmount")?;
        let director = Director::new(Arc::clone(&data_path.maps), keys)?;
        Ok(Self {
            data_path,
            director: Mutex::new(director),
            buffers,
        })
    }

    /// Makes the services those of the lines. Every real server has a next hop by [`INTERFACE`].
    ///
    /// # Panics
    ///
    /// If the daemon would refuse them.
    pub fn configure(&self, lines: &str) {
        let configuration = rules::parse(lines).expect("wrong lines");
        self.director().configure(&configuration).expect("refused");
        let servers = configuration
            .services
            .iter()
            .flat_map(|(_, wanted)| &wanted.servers);
        for (server, _) in servers {
            self.resolve(server.address(), hop(server.address()));
        }
    }

    /// Sends packets to a real server by this hop from now on.
    pub fn resolve(&self, server: IpAddr, hop: Hop) {
        let text = "a test's hop".into();
        self.director().resolve(server, NextHop::Via { hop, text });
    }

    /// Has frames that come by [`INTERFACE`] with these tags, the outer one first, be that interface's: those of other
    /// VLANs are for another host.
    ///
    /// # Panics
    ///
    /// If the maps cannot be written.
    pub fn know_vlans(&self, all: &[&[u16]]) {
        let key = |tag: &u16, kind| UpperKey {
            interface: INTERFACE,
            vlan: u32::from(tag & 0xfff) | kind,
        };
        let keys = all.iter().flat_map(|tags| {
            let (inner, outer) = tags.split_last().expect("a tag");
            let outer = outer.iter().map(|tag| key(tag, UpperKey::SERVICE));
            outer.chain([key(inner, 0)])
        });
        let devices = keys.map(|key| (key, INTERFACE)).collect();
        let maps = self.maps();
        maps.upper_devices.write(&devices).expect("cannot write");
        let entry = Interface {
            flags: Interface::SENDS_XDP | Interface::HAS_UPPER,
            lower: INTERFACE,
            mac: [0; 6],
            vlan: 0.into(),
            mtu: 1_500,
            reserved: [0; 2],
            equal_cost: 0,
        };
        let entries = BTreeMap::from([(INTERFACE, entry)]);
        maps.interfaces.write(&entries).expect("cannot write");
        source_checks::publish_flags(maps);
    }

    /// The single writer.
    pub fn director(&self) -> MutexGuard<'_, Director> {
        self.director.lock()
    }

    /// The tables.
    pub fn maps(&self) -> &Maps {
        &self.data_path.maps
    }

    /// Runs the program on a frame that came by an interface. From then on the calling thread is in a network
    /// namespace of its own, where routes lead to clients by [`INTERFACE`].
    pub fn run(&self, interface: u32, frame: &[u8]) -> Result<End> {
        if self.buffers {
            self.run_tc(frame)
        } else {
            self.run_behind(interface, frame, 0)
        }
    }

    /// Runs the TC program on a frame that came by [`INTERFACE`].
    fn run_tc(&self, frame: &[u8]) -> Result<End> {
        namespace::take_address(frame)?;
        // struct __sk_buff: ten fields that the kernel sets, and the interface.
        let mut words = [0; 11];
        words[10] = INTERFACE;
        let context: Vec<u8> = words.into_iter().flat_map(u32::to_ne_bytes).collect();
        let mut out = vec![0; 4_096];
        let result = self.data_path.loaded_tc()?.test_run(TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            ctx_in: Some(&context),
            ..TestRunOptions::default()
        })?;
        out.truncate(result.data_size_out as usize);
        let action = match result.return_value.cast_signed() {
            TC_ACT_UNSPEC => Action::Pass,
            TC_ACT_SHOT => Action::Drop,
            TC_ACT_REDIRECT => Action::Tx,
            other => return Err(anyhow!("the program returned {other}")),
        };
        Ok(End { action, frame: out })
    }

    /// The same where the driver put so many bytes of its own before the frame.
    pub fn run_behind(&self, interface: u32, frame: &[u8], before: u32) -> Result<End> {
        namespace::enter()?;
        let length = u32::try_from(frame.len())? + before;
        // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
        let words = [before, length, 0, interface, 0, 0];
        let context: Vec<u8> = words.into_iter().flat_map(u32::to_ne_bytes).collect();
        let mut sent = vec![0; before as usize];
        sent.extend_from_slice(frame);
        let mut out = vec![0; 4_096];
        let result = self.data_path.loaded()?.test_run(TestRunOptions {
            data_in: Some(&sent),
            data_out: Some(&mut out),
            ctx_in: Some(&context),
            ..TestRunOptions::default()
        })?;
        out.truncate(result.data_size_out as usize);
        let action = match result.return_value {
            0 => Action::Aborted,
            1 => Action::Drop,
            2 => Action::Pass,
            3 => Action::Tx,
            4 => Action::Redirect,
            other => return Err(anyhow!("the program returned {other}")),
        };
        Ok(End { action, frame: out })
    }

    /// Counts of all verdicts, by number.
    pub fn verdicts(&self) -> Vec<u64> {
        Reason::ALL
            .iter()
            .map(|&reason| self.maps().verdicts.count(reason))
            .collect()
    }

    /// The services, with the traffic and connections of their real servers.
    pub fn services(&self) -> Vec<Service> {
        self.director().list().services
    }
}

/// A next hop on the same interface; its Ethernet address ends as the server's address does.
pub fn hop(server: IpAddr) -> Hop {
    Hop {
        ethernet: EthernetAddresses::new(mac(server), DIRECTOR),
        vlan: 0.into(),
        mtu: 1_500,
        interface: INTERFACE,
        source4: [10, 2, 0, 1],
        source6: Ipv6Addr::new(0xfd02, 0, 0, 0, 0, 0, 0, 1).octets(),
        flags: Hop::XDP,
        device: INTERFACE,
        reserved: [0; 16],
    }
}

/// A real server's Ethernet address.
pub fn mac(server: IpAddr) -> Mac {
    let last = match server {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(address) => address.octets()[15],
    };
    [2, 0, 0, 0, 1, last]
}

//! A data path of its own with one service and one server, and the programs of the bench around the director's.

use std::collections::BTreeMap;
use std::fs;
use std::mem::offset_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lvs_api::filter::{Filter, Source};
use lvs_api::model::{Method, Protocol, ServerId, ServerSettings, ServiceId, ServiceSettings};
use lvs_api::protocol::Edit;
use lvs_common::abi::{self, Config, EthernetAddresses, Hop, Interface};
use lvs_common::connection::Entry;
use lvs_common::family::Family;
use lvs_common::verdict::Reason;
use lvs_dataplane::clock;
use lvs_dataplane::director::{Director, NextHop};
use lvs_dataplane::kernel::{
    BenchPrograms, DataPath, Directory, EntryMapping, Options, TcAttachment,
};
use lvs_dataplane::source_checks;
use lvs_dataplane::sweep::Sweeper;
use lvs_replication::{EventFeed, Subscription};
use parking_lot::Mutex;
use zerocopy::FromZeros as _;

use super::case::Case;
use super::frame::{
    ACK, DIRECTOR, PORT, Payload, SERVER4, SERVER6, SYN, Towards, VIRTUAL4, VIRTUAL6, frame,
};

/// The folder of pinned data planes.
const BPFFS: &str = "/sys/fs/bpf";
/// The prefix of the bench's folders there; the process number follows.
const FOLDER: &str = "lvs-bench-";

/// Largest packets that are sent on.
const MTU: u16 = 1_500;

/// Packets of one slice of a measurement: a few milliseconds, so that on a machine with other work many
/// slices are not interrupted.
const SLICE: u32 = 50_000;

/// Slices of a round.
const SLICES: u32 = 4;

/// XDP action of a frame that the kernel gets.
const PASS: u32 = 2;
/// XDP action of a frame that leaves by the interface it came by.
const TRANSMIT: u32 = 3;

/// Nanoseconds per packet in one slice.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    /// With the director.
    pub director: f64,
    /// Without it.
    pub floor: f64,
    /// The least that forwards by the same table, where there is such a program for the case.
    pub yardstick: Option<f64>,
}

/// Removes what a bench left behind that was killed.
pub fn clean_up() -> Result<()> {
    let Ok(folders) = fs::read_dir(BPFFS) else {
        return Ok(());
    };
    for folder in folders {
        let folder = folder?;
        if folder.file_name().to_string_lossy().starts_with(FOLDER) {
            Directory::remove_abandoned(&folder.path())?;
        }
    }
    Ok(())
}

/// A data path with the programs of the bench.
pub struct Rig {
    /// Programs of the bench.
    pub bench: BenchPrograms,
    path: DataPath,
    director: Arc<Mutex<Director>>,
    /// Connection replication to another director.
    subscription: Option<Subscription>,
    entries: u32,
    /// The interface that frames come by and leave by.
    interface: u32,
}

impl Rig {
    /// Makes a data path for a case, whose real server and clients are reached by this interface.
    pub fn new(case: &Case, interface: u32) -> Result<Self> {
        let folder = Path::new(BPFFS).join(format!("{FOLDER}{}", std::process::id()));
        let directory = Directory::open(&folder)?;
        let entries = |own: bool| Some(if own { case.entries } else { 1_024 });
        let options = Options {
            services: None,
            servers: None,
            entries4: entries(!case.ipv6),
            entries6: entries(case.ipv6),
            slots: Some(1 << 16),
            fragments: None,
            filter_nodes: None,
            rss_source: false,
            icmp_rate: 1_000,
            sync_threshold: 3,
            sync_period: 50,
            local_clients: false,
            program_log: 0,
        };
        let (mut path, keys) = DataPath::open(directory, &options, true)?;
        let mut director = Director::new(path.maps.clone(), keys)?;
        configure(&mut director, case, interface)?;
        know_own(&path);
        check_sources(&path, case, interface)?;
        let bench = BenchPrograms::load(&mut path).context("cannot load the bench's programs")?;
        Ok(Self {
            bench,
            path,
            director: Arc::new(Mutex::new(director)),
            subscription: None,
            entries: case.entries,
            interface,
        })
    }

    /// Attaches the TC program to an interface.
    pub fn attach_tc(&mut self, interface: &str) -> Result<TcAttachment> {
        Ok(self.path.attach_tc_alone(interface)?)
    }

    /// Has frames that the sink drops not be counted as lost.
    pub fn leave_drops_uncounted(&self) -> Result<()> {
        Ok(self.path.leave_drops_uncounted()?)
    }

    /// Runs a program so many times on the frames that are planned; the time each took.
    pub fn run(&mut self, program: &str, times: u32) -> Result<Duration> {
        Ok(self.bench.run(program, self.interface, times)?)
    }

    /// The single writer of its tables.
    pub const fn director(&self) -> &Arc<Mutex<Director>> {
        &self.director
    }

    /// Connections are replicated at this packet.
    pub fn set_threshold(&self, packets: u32) {
        let offset = offset_of!(Config, sync) + offset_of!(abi::Sync, threshold);
        if let Some(word) = self.path.maps.config.word(0, offset) {
            word.store(packets, Relaxed);
        }
    }

    /// Packets that ended for this reason.
    pub fn ended(&self, reason: Reason) -> u64 {
        self.path.maps.verdicts.count(reason)
    }

    /// Gives the generator a case's frames.
    pub fn plan(&self, case: &Case, payload: Payload, towards: Towards, sequential: bool) {
        let (template, address_at) = frame(case.ipv6, towards, payload);
        let mut plan = self.bench.settings();
        plan.template = template;
        plan.address_at = address_at;
        plan.flows = case.flows;
        plan.sequential = u32::from(sequential);
        plan.next = 0;
        plan.wrong = 0;
        plan.expected = if towards == Towards::Elsewhere {
            PASS
        } else {
            TRANSMIT
        };
        self.bench.configure(plan);
    }

    /// Enters all flows of a case into the table, established.
    pub fn fill(&mut self, case: &Case) -> Result<()> {
        if case.towards == Towards::Elsewhere {
            return Ok(());
        }
        let payloads = if case.udp {
            [Payload::Udp, Payload::Udp]
        } else {
            [Payload::Tcp(SYN), Payload::Tcp(ACK)]
        };
        // In portions: the half-open connections of one must not crowd each other out.
        let portion = (self.entries / 1_024).max(1).min(case.flows);
        let (mut done, mut refused) = (0, 0);
        while done < case.flows {
            let now = portion.min(case.flows - done);
            for payload in payloads {
                self.plan(case, payload, Towards::Server, true);
                let mut plan = self.bench.settings();
                plan.next = done;
                self.bench.configure(plan);
                self.run("measured", now)?;
                refused += self.bench.settings().wrong;
            }
            done += now;
        }
        self.check(case, refused, u64::from(case.flows) * 2)
    }

    /// One round, slice by slice. New connections of a slice come on top of those before it.
    pub fn round(&mut self, case: &Case) -> Result<Vec<Slice>> {
        if case.new {
            self.empty(case.ipv6);
        }
        if let (Some(wanted), None) = (case.sync, &self.subscription) {
            let feed = Arc::new(EventFeed::new(Arc::clone(&self.path.maps)));
            self.subscription = Some(feed.subscribe(wanted));
        }
        let slices = if case.new { case.flows / SLICE } else { SLICES };
        (0..slices)
            .map(|slice| self.slice(case, slice * SLICE))
            .collect()
    }

    /// One slice; new connections begin after the flow `first`.
    fn slice(&mut self, case: &Case, first: u32) -> Result<Slice> {
        let director = self.time(case, "measured", first)?;
        let floor = self.time(case, "floor", first)?;
        let yardstick = case.yardstick();
        let yardstick = yardstick
            .then(|| self.time(case, "yardstick", first))
            .transpose()?;
        Ok(Slice {
            director,
            floor,
            yardstick,
        })
    }

    fn time(&mut self, case: &Case, program: &str, first: u32) -> Result<f64> {
        self.plan(case, case.payload(), case.towards, case.new);
        let mut plan = self.bench.settings();
        plan.next = first;
        self.bench.configure(plan);
        let time = self.run(program, SLICE)?.as_secs_f64() * 1e9;
        self.check(case, self.bench.settings().wrong, u64::from(SLICE))?;
        if let Some(subscription) = &self.subscription {
            // Their buffer must not be full.
            subscription.drain(usize::MAX);
            ensure!(subscription.lost() == 0, "events were lost");
        }
        Ok(time)
    }

    /// Forgets all connections.
    fn empty(&self, ipv6: bool) {
        let maps = &self.path.maps;
        if ipv6 {
            clear(&maps.connections6);
        } else {
            clear(&maps.connections4);
        }
        for index in 0..maps.loads.len() {
            if let Some(counts) = maps.loads.counts(index) {
                counts.store(0, Relaxed);
            }
        }
    }

    /// Loads the programs anew: how fast a program is depends a little on where in memory it happens to lie.
    pub fn renew(&mut self) -> Result<()> {
        for program in ["measured", "floor", "yardstick"] {
            self.bench.unload(program)?;
        }
        Ok(())
    }

    /// Up to a quarter full the table refuses nothing. Beyond, up to half full, it may refuse one
    /// connection in a thousand, a NAT connection being two entries.
    fn check(&self, case: &Case, wrong: u64, packets: u64) -> Result<()> {
        let entries = if case.method == Method::Nat { 2 } else { 1 } * case.flows;
        let allowed = if entries <= case.entries / 4 && case.denied == 0 {
            0
        } else {
            packets / 1_000
        };
        ensure!(
            wrong <= allowed,
            "{wrong} of {packets} packets ended otherwise than expected; all so far: {}",
            self.verdicts()
        );
        Ok(())
    }

    /// How packets ended so far.
    fn verdicts(&self) -> String {
        let counted = Reason::ALL
            .iter()
            .map(|&reason| (reason, self.ended(reason)));
        let counted = counted.filter(|(_, count)| *count > 0);
        let texts: Vec<_> = counted
            .map(|(reason, count)| format!("{} {count}", reason.name()))
            .collect();
        texts.join(", ")
    }

    /// How long a sweep over the IPv4 table takes.
    pub fn sweep(&self) -> Duration {
        let maps = &self.path.maps;
        let start = Instant::now();
        Sweeper::default().sweep(&maps.connections4, &maps.loads, clock::now());
        start.elapsed()
    }

    /// Removes everything.
    pub fn remove(self) -> Result<()> {
        drop(self.bench);
        drop(self.subscription);
        drop(self.director);
        Ok(self.path.remove()?)
    }
}

fn clear<F: Family>(table: &EntryMapping<F>) {
    for index in 0..table.len() {
        for offset in [offset_of!(Entry<F>, tag), offset_of!(Entry<F>, hint)] {
            table.store(index, offset, 0);
        }
    }
}

/// Tells the program the director's Ethernet address, as the daemon does.
fn know_own(path: &DataPath) {
    if let Some(mut config) = path.maps.config.read(0) {
        let [own, ..] = &mut config.own;
        *own = Config::own_address(DIRECTOR);
        config.own_count = 1;
        path.maps.config.write(0, config);
    }
}

/// Tells the program of the interface, as the daemon does, and what sources it refuses.
fn check_sources(path: &DataPath, case: &Case, interface: u32) -> Result<()> {
    let entry = Interface {
        flags: Interface::SENDS_XDP,
        lower: interface,
        mac: DIRECTOR,
        vlan: 0.into(),
        mtu: MTU,
        reserved: [0; 2],
        equal_cost: 0,
    };
    let interfaces = &path.maps.interfaces;
    interfaces.write(&BTreeMap::from([(interface, entry)]))?;
    if case.source_check {
        interfaces.write_checks(BTreeMap::from([(interface, Interface::RP_STRICT)]))?;
    }
    source_checks::publish_flags(&path.maps);
    Ok(())
}

/// Single addresses among those of the clients: one in 20,000 is denied, so that hardly a packet is.
fn denied(case: &Case) -> Vec<Source> {
    let mut state = 1_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 32) as u32
    };
    let address = |bits: u32| -> IpAddr {
        let bits = bits & !0xc000_0000 | 0x8000_0000;
        if case.ipv6 {
            // A client's differs from the others in its last bits: prefixes of half of the address, too.
            let bits = if bits & 1 == 0 {
                u128::from(bits)
            } else {
                u128::from(bits) << 64
            };
            Ipv6Addr::from_bits(0x2001_0db8 << 96 | bits).into()
        } else {
            Ipv4Addr::from_bits(bits).into()
        }
    };
    (0..case.denied)
        .filter_map(|_| address(next()).to_string().parse().ok())
        .map(Source::Prefix)
        .collect()
}

fn configure(director: &mut Director, case: &Case, interface: u32) -> Result<()> {
    let (virtual_address, server): (IpAddr, IpAddr) = if case.ipv6 {
        (
            Ipv6Addr::from(VIRTUAL6).into(),
            Ipv6Addr::from(SERVER6).into(),
        )
    } else {
        (
            Ipv4Addr::from(VIRTUAL4).into(),
            Ipv4Addr::from(SERVER4).into(),
        )
    };
    let service = ServiceId::Address {
        protocol: if case.udp {
            Protocol::Udp
        } else {
            Protocol::Tcp
        },
        address: SocketAddr::new(virtual_address, PORT),
    };
    let settings = ServiceSettings {
        scheduler: "rr".to_owned(),
        scheduler_flags: 0,
        persistence: None,
        one_packet: false,
        redispatch: Some(false),
        on_down: None,
        timeouts: None,
        engine: None,
        filter: None,
    };
    let mut hop = Hop::new_zeroed();
    hop.ethernet = EthernetAddresses::new([2, 0, 0, 0, 0, 3], DIRECTOR);
    hop.mtu = MTU;
    hop.interface = interface;
    hop.device = interface;
    hop.flags = Hop::XDP;
    hop.source4 = [10, 1, 1, 254];
    hop.source6 = SERVER6;
    let text = "the bench".to_owned();
    director.resolve(server, NextHop::Via { hop, text });
    let edits = [
        Edit::AddService { service, settings },
        Edit::AddServer {
            service,
            server: ServerId(SocketAddr::new(server, PORT)),
            settings: ServerSettings {
                method: case.method,
                weight: 1,
                upper: 0,
                lower: 0,
                tunnel: case.tunnel,
                snat: None,
            },
        },
    ];
    let filter = Edit::SetFilter {
        service,
        filter: Filter {
            deny: denied(case),
            ..Filter::default()
        },
    };
    for edit in edits.into_iter().chain([filter]) {
        director
            .apply(&edit)
            .map_err(|refusal| anyhow::anyhow!("{}", refusal.message))?;
    }
    ensure!(case.method != Method::Local, "nothing to measure");
    Ok(())
}

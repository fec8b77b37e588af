//! A pair of peers, and the connections that each of them has.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use lvs_api::model::{Family, Method, Protocol};
use lvs_api::peers::{PeerStatus, PeersStatus};
use lvs_api::sync::SyncStatus;
use lvs_tests::lab::addresses::{FAMILIES, own_sync, virtual_address};
use lvs_tests::lab::director::{server_name, service_name, services};
use lvs_tests::lab::{Director, Pair, RealServer};
use lvs_tests::pairs;
use serde::Deserialize;

/// How long is waited for anything: machines are slow and shared.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The output of `lvsadm sync status --json`.
#[derive(Deserialize)]
pub(crate) struct Status {
    pub(crate) peers: PeersStatus,
    pub(crate) sync: SyncStatus,
}

/// A pair of directors that can become peers.
pub(crate) struct World {
    pub(crate) pair: Pair,
    /// The family of the addresses by which the directors connect.
    family: Family,
}

impl World {
    /// `None` where there can be none.
    pub(crate) fn new() -> Option<Self> {
        Self::over(Family::Ipv4)
    }

    /// Likewise, with links over this.
    pub(crate) fn over(family: Family) -> Option<Self> {
        let pair = Pair::for_story()?;
        Some(Self { pair, family })
    }

    pub(crate) fn one(&self) -> &Director {
        self.pair.director(1)
    }

    pub(crate) fn two(&self) -> &Director {
        self.pair.director(2)
    }

    /// Starts the first as master, with the virtual addresses.
    pub(crate) fn start_one(&self, lines: &str) {
        self.start_one_with(&[], lines);
    }

    /// Likewise, with more options.
    pub(crate) fn start_one_with(&self, more: &[&str], lines: &str) {
        let peer = own_sync(self.family, 2).to_string();
        let mut options = self.options(1, &peer, "the key of this story", lines);
        options.extend(more.iter().map(|&option| option.to_owned()));
        start(self.one(), &options);
    }

    /// Likewise, with another address for its peer.
    pub(crate) fn start_one_to(&self, peer: &str, lines: &str) {
        start(
            self.one(),
            &self.options(1, peer, "the key of this story", lines),
        );
    }

    /// Starts the second as backup, with the virtual addresses for later.
    pub(crate) fn start_two(&self, lines: &str) {
        self.start_two_with("the key of this story", lines);
    }

    /// Likewise, with a key of its own.
    pub(crate) fn start_two_with(&self, key: &str, lines: &str) {
        let peer = own_sync(self.family, 1).to_string();
        let mut options = self.options(2, &peer, key, lines);
        options.extend(["--role".to_owned(), "backup".to_owned()]);
        start(self.two(), &options);
    }

    /// Likewise, with another address for its peer, and more options.
    pub(crate) fn start_two_to(&self, peer: &str, more: &[&str], lines: &str) {
        let mut options = self.options(2, peer, "the key of this story", lines);
        let more = ["--role", "backup"].iter().chain(more);
        options.extend(more.map(|&option| option.to_owned()));
        start(self.two(), &options);
    }

    /// Likewise, with variables of the environment.
    pub(crate) fn start_two_in(&self, variables: &[(&str, &str)], lines: &str) {
        let mut options = self.options(2, "10.3.0.1", "the key of this story", lines);
        options.extend(["--role".to_owned(), "backup".to_owned()]);
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        self.two().start_in(variables, &options).unwrap();
    }

    fn options(&self, number: u8, peer: &str, key: &str, lines: &str) -> Vec<String> {
        let file = |name: &str, text: &str| {
            let path = self.pair.folder().join(format!("{name}{number}"));
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            path.to_string_lossy().into_owned()
        };
        let (config, key) = (file("services", lines), file("key", key));
        let words = ["--config", &config, "--peer", peer, "--peer-key", &key];
        let mut options: Vec<_> = words.map(str::to_owned).into();
        options.extend(Pair::address_options());
        options
    }

    /// Opens connections from the client to the virtual addresses of some methods in both families, which stay
    /// open and say nothing.
    pub(crate) fn connect(&self, methods: &[Method], each: usize) -> Vec<TcpStream> {
        let open = || {
            let mut streams = Vec::new();
            for (family, &method) in pairs(FAMILIES, methods) {
                let address = virtual_address(family, method);
                let address = SocketAddr::new(address, RealServer::PORT);
                for _ in 0..each {
                    streams.push(TcpStream::connect(address).unwrap());
                }
            }
            streams
        };
        self.pair.client.namespace().enter(open).unwrap()
    }

    /// Waits until both hold the same connections, and so many; returns how long that took.
    pub(crate) fn agree(&self, count: usize) -> Duration {
        let began = Instant::now();
        loop {
            let (one, two) = (connections(self.one()), connections(self.two()));
            if one == two && one.len() == count {
                return began.elapsed();
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{count} wanted; only one knows {:#?}, only the other {:#?}",
                one.difference(&two).take(10).collect::<Vec<_>>(),
                two.difference(&one).take(10).collect::<Vec<_>>()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Cuts or joins the network between the directors.
    pub(crate) fn link(&self, up: bool) {
        let state = if up { "up" } else { "down" };
        let line = format!("link set sync {state}\n");
        self.two().namespace().ip(&line).unwrap();
    }
}

/// Methods whose closed connections are gone after two seconds with [`lines`]: of NAT's the director sees both
/// directions, and they wait for their time.
pub(crate) const SHORT: [Method; 2] = [Method::Direct, Method::Tunnel];

/// TCP services by every method in both families.
pub(crate) fn lines() -> String {
    format!("--set 0 2 0\n{}", services(&[Protocol::Tcp]))
}

/// The services of the other stories, and one that keeps calls together.
pub(crate) fn lines_with_calls() -> String {
    let service = service_name(Protocol::Udp, Family::Ipv4, Method::Direct);
    let mut lines = lines();
    let _ = writeln!(lines, "-A {service} -s rr -p 60 --pe sip");
    for number in 1..=2 {
        let server = server_name(Family::Ipv4, number);
        let _ = writeln!(lines, "-a {service} {server} -g");
    }
    lines
}

/// The calls that a director lists, by their Call-IDs, each with its server.
pub(crate) fn calls(director: &Director) -> BTreeSet<[String; 2]> {
    let listed = director.lvsadm("-Lcn --persistent-conn").unwrap();
    let calls = listed.lines().filter_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            [.., server, "sip", id] => Some([id, server].map(|word| (*word).to_owned())),
            _ => None,
        }
    });
    calls.collect()
}

/// A client says so many messages of a call.
pub(crate) fn say(world: &World, call_id: &str, count: usize) {
    let to = virtual_address(Family::Ipv4, Method::Direct);
    let say = || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        for _ in 0..count {
            let text = format!("OPTIONS sip:a SIP/2.0\r\nCall-ID: {call_id}\r\n\r\n");
            socket
                .send_to(text.as_bytes(), (to, RealServer::PORT))
                .unwrap();
        }
    };
    world.pair.client.namespace().enter(say).unwrap();
}

fn start(director: &Director, options: &[String]) {
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    director.start_with(&options).unwrap();
}

/// How a director says it goes.
pub(crate) fn status(director: &Director) -> Status {
    let text = director.lvsadm("sync status --json").unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The links of a director.
pub(crate) fn links(director: &Director) -> PeersStatus {
    status(director).peers
}

/// Its only peer.
pub(crate) fn peer(director: &Director) -> PeerStatus {
    let mut peers = links(director).peers;
    assert_eq!(peers.len(), 1, "{peers:?}");
    peers.remove(0)
}

/// How often links were refused for a reason.
pub(crate) fn refused(director: &Director, name: &str) -> u64 {
    let refused = links(director).refused;
    let found = refused.iter().filter(|refusal| refusal.name == name);
    found.map(|refusal| refusal.count).sum()
}

/// Waits until something holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Connections as they are listed, without the time: protocol, state, client, virtual address, server.
pub(crate) fn connections(director: &Director) -> BTreeSet<String> {
    listed(director).into_iter().map(|(line, _)| line).collect()
}

/// The same with the seconds that are left.
pub(crate) fn listed(director: &Director) -> Vec<(String, i64)> {
    let listing = director.lvsadm("-Lcn").unwrap();
    let lines = listing.lines().skip(2).map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let [protocol, expire, rest @ ..] = words.as_slice() else {
            panic!("{line}");
        };
        let (minutes, seconds) = expire.split_once(':').unwrap();
        let left = minutes.parse::<i64>().unwrap() * 60 + seconds.parse::<i64>().unwrap();
        (format!("{protocol} {}", rest.join(" ")), left)
    });
    lines.collect()
}

/// True if a director's log contains a text.
pub(crate) fn has_logged(director: &Director, text: &str) -> bool {
    let log: &Path = &director.log();
    fs::read_to_string(log).unwrap_or_default().contains(text)
}

//! Gratuitous ARP and unsolicited neighbour advertisements, as tcpdump sees them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lvs_tests::eventually;
use lvs_tests::lab::{self, Namespace, Pair, find, programs, skipped};
use lvs_tests::vm::{self, Kernel};

const PATIENCE: Duration = Duration::from_secs(30);

/// tcpdump in a namespace, which lists what arrives there.
struct Wire {
    tcpdump: Child,
    listed: PathBuf,
}

impl Wire {
    fn listen(namespace: &Namespace, folder: &Path) -> Self {
        let [listed, said] = ["listed", "said"].map(|name| folder.join(name));
        let mut command = Command::new(find("tcpdump").unwrap());
        command.args(["-l", "-n", "-e", "-tt", "--immediate-mode", "-i", "eth0"]);
        command.arg("arp or icmp6").stdin(Stdio::null());
        command.stdout(File::create(&listed).unwrap());
        command.stderr(File::create(&said).unwrap());
        let tcpdump = namespace.spawn(&mut command).unwrap();
        let listens = || fs::read_to_string(&said).unwrap().contains("listening on");
        assert!(eventually(PATIENCE, listens), "tcpdump does not listen");
        Self { tcpdump, listed }
    }

    /// The announcements so far.
    fn announced(&self) -> BTreeMap<String, Vec<f64>> {
        announced(&fs::read_to_string(&self.listed).unwrap())
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let _ = self.tcpdump.kill();
        let _ = self.tcpdump.wait();
    }
}

/// The times of tcpdump's list, in seconds, at which each thing was said: `request ADDRESS MAC`, and with
/// `reply` or `advertisement` in its place. Before it stands the VLAN, if there is one.
fn announced(listed: &str) -> BTreeMap<String, Vec<f64>> {
    let mut announced: BTreeMap<_, Vec<_>> = BTreeMap::new();
    // The last line may be half written.
    for line in listed.split_inclusive('\n').filter(|it| it.ends_with('\n')) {
        let Some((time, rest)) = line.split_once(' ') else {
            continue;
        };
        let after = |what: &str| {
            let (_, rest) = rest.split_once(what)?;
            rest.split([' ', ',']).next()
        };
        let mac = rest.split(' ').next().unwrap_or_default();
        let (kind, address) = if let Some(address) = after("Request who-has ") {
            // Who asks for the address of somebody else announces nothing.
            let own = [" tell ", ") tell "]
                .iter()
                .any(|tell| after(tell) == Some(address));
            if !own {
                continue;
            }
            ("request", address)
        } else if let Some(address) = after("Reply ") {
            ("reply", address)
        } else if let Some(address) = after("neighbor advertisement, tgt is ")
            && rest.contains("> ff02::1:")
        {
            ("advertisement", address)
        } else {
            continue;
        };
        let vlan = after(" vlan ").map_or(String::new(), |id| format!("vlan {id} "));
        let said = format!("{vlan}{kind} {address} {mac}");
        announced
            .entry(said)
            .or_default()
            .push(time.parse().unwrap());
    }
    announced
}

#[test]
fn announcements_follow_the_configured_counts_and_delays() {
    if skipped(programs(&["tcpdump"])) {
        return;
    }
    let Some(pair) = Pair::for_story() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let one = pair.director(1);
    one.start_with(&[
        "--role=backup",
        "--virtual-address=10.1.0.101@front",
        "--virtual-address=fd00:1::101@front",
        "--announce-count=3",
        "--announce-interval=100ms",
        "--announce-repeat=700ms",
    ])
    .unwrap();
    let wire = Wire::listen(pair.client.namespace(), folder.path());
    one.lvsadm("role master").unwrap();
    let mac = one.mac("front");
    let expected = [
        format!("advertisement fd00:1::101 {mac}"),
        format!("reply 10.1.0.101 {mac}"),
        format!("request 10.1.0.101 {mac}"),
    ];
    // Two rounds, and the first of the third.
    let enough = || {
        let announced = wire.announced();
        expected
            .iter()
            .all(|what| announced.get(what).is_some_and(|times| times.len() >= 7))
    };
    assert!(eventually(PATIENCE, enough), "{:?}", wire.announced());
    one.lvsadm("role backup").unwrap();

    let announced = wire.announced();
    let only: Vec<_> = announced.keys().collect();
    assert_eq!(only, expected.iter().collect::<Vec<_>>());
    for (what, times) in &announced {
        let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        // A little less than they say: clocks differ in what a millisecond is.
        for (number, gap) in gaps.iter().take(6).enumerate() {
            let least = if number % 3 == 2 { 0.69 } else { 0.099 };
            assert!(*gap > least, "{what}: {gaps:?}");
        }
    }
    // A backup is silent.
    let before = wire.announced();
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(wire.announced(), before);
}

#[test]
fn without_repetition_each_address_is_announced_once() {
    if skipped(programs(&["tcpdump"])) {
        return;
    }
    let Some(pair) = Pair::for_story() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let wire = Wire::listen(pair.client.namespace(), folder.path());
    let one = pair.director(1);
    one.start_with(&[
        "--virtual-address=10.1.0.101@front",
        "--announce-count=2",
        "--announce-interval=50ms",
        "--announce-repeat=0s",
    ])
    .unwrap();
    let replies = || {
        let what = format!("reply 10.1.0.101 {}", one.mac("front"));
        wire.announced().get(&what).map_or(0, Vec::len)
    };
    assert!(eventually(PATIENCE, || replies() == 2));
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(replies(), 2);

    // An address that was gone is announced as one that is taken.
    let gone = "address delete 10.1.0.101/32 dev front";
    one.namespace().ip(gone).unwrap();
    assert!(eventually(PATIENCE, || replies() == 4));
}

/// This machine's kernel has no VLANs, so that one of Debian's announces; busybox' shell runs this.
const VLAN: &str = "
modprobe -a veth 8021q
mkdir -p /run/netns
/bin/ip netns add host
/bin/ip link set lo up
/bin/ip link add front type veth peer name eth0 netns host
/bin/ip link set front address 02:00:00:00:00:0a up
/bin/ip link add link front name front.5 type vlan id 5
/bin/ip link set front.5 up
at() { nsenter --net=/run/netns/host \"$@\"; }
at /bin/ip link set eth0 up
mkdir /etc
echo 'root:x:0:0::/:/bin/sh' >/etc/passwd
at tcpdump -Z root -l -n -e -tt --immediate-mode -i eth0 'vlan and (arp or icmp6)' >/run/listed 2>/run/said &
# Waits until a command succeeds: a minute at least.
until_true() {
    local tries=0
    until \"$@\"; do
        tries=$((tries + 1))
        [ $tries -lt 900 ] || { cat /run/listed /run/said /run/log; exit 1; }
        usleep 200000
    done
}
until_true grep -q 'listening on' /run/said
lvsd --bpffs /sys/fs/bpf/own --socket /run/own.sock --interface front --table4 64 --table6 64 \
    --virtual-address 10.5.0.101@front.5 --virtual-address fd00:5::101@front.5 \
    --announce-count 2 --announce-interval 100ms >/run/log 2>&1 &
heard() { [ $(grep -c \"$1\" /run/listed) -ge 2 ]; }
until_true heard 'Reply 10.5.0.101'
until_true heard 'advertisement, tgt is fd00:5::101'
echo
cat /run/listed
";

#[test]
fn an_address_on_a_vlan_is_announced_on_that_vlan() {
    if skipped(vm::check()) || skipped(programs(&["tcpdump"])) {
        return;
    }
    let kernel = Kernel::debian(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian")).unwrap();
    let tools = ["ip", "tcpdump"].map(|name| find(name).unwrap());
    let lvsd = lab::built("lvsd").unwrap();
    let programs: Vec<&Path> = tools.iter().chain([&lvsd]).map(AsRef::as_ref).collect();
    let listed = kernel
        .run_with_modules(
            &["veth", "8021q", "ipv6", "sch_ingress", "cls_bpf"],
            &programs,
            VLAN,
        )
        .unwrap_or_else(|error| panic!("{error:#}"));
    let announced = announced(&format!("{listed}\n"));
    for (kind, address) in [
        ("request", "10.5.0.101"),
        ("reply", "10.5.0.101"),
        ("advertisement", "fd00:5::101"),
    ] {
        let what = format!("vlan 5 {kind} {address} 02:00:00:00:00:0a");
        let times = announced.get(&what);
        assert!(
            times.is_some_and(|times| times.len() >= 2),
            "{what}: {listed}"
        );
    }
}

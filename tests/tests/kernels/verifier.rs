//! The verifier accepts the program: on this kernel and on the oldest one that is supported.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use lvs_tests::lab::{self, available, find, programs};
use lvs_tests::vm::{self, Kernel};

/// The verifier gives up at a million.
const INSTRUCTIONS_AT_MOST: u64 = 500_000;

/// Reads `lvsd --verify`: the largest number of instructions verified for any program.
fn verified(said: &str) -> u64 {
    let numbers = said.lines().filter_map(|line| {
        let (_, rest) = line.split_once(": ")?;
        rest.strip_suffix(" bytes of code")?;
        rest.split_whitespace().next()?.parse().ok()
    });
    numbers
        .max()
        .unwrap_or_else(|| panic!("no number of instructions: {said}"))
}

fn lvsd() -> PathBuf {
    lab::built("lvsd").unwrap()
}

#[test]
fn the_verifier_of_this_kernel_accepts_the_program() {
    if !available() {
        return;
    }
    for (level, servers) in [
        ("off", "65536"),
        ("trace", "65536"),
        ("off", "65537"),
        ("trace", "65537"),
    ] {
        let output = std::process::Command::new(lvsd())
            .args(["--verify", "--program-log", level, "--servers", servers])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        println!(
            "this kernel, log {level}, {servers} servers: {}",
            said.trim()
        );
        assert!(verified(&said) < INSTRUCTIONS_AT_MOST, "{said}");
    }
}

/// Line between what the verifier says and what the daemon does.
const DAEMON: &str = "-- daemon --";

/// Asks the verifier, about the program with all that options add to it, too. Then starts the daemon on two interfaces. The other end of the first takes no frames from XDP,
/// that of the second does: this kernel does not say so.
const SCRIPT: &str = "\
uname -r; lvsd --verify; lvsd --verify --program-log trace --servers 65537
echo '-- daemon --'
modprobe veth
for name in front back; do
    /bin/ip link add $name type veth peer name far-$name
    /bin/ip link set $name up
    /bin/ip link set far-$name up
done
/bin/ethtool -K far-back gro on
lvsd --bpffs /sys/fs/bpf/own --socket /run/own.sock --interface front --interface back --mode xdp --table4 64 \
    --table6 64 --state /run/state >/run/log 2>&1 &
tries=0
until lvsadm --socket /run/own.sock --status >/run/status 2>&1; do
    tries=$((tries + 1))
    [ $tries -lt 600 ] || { cat /run/log; exit 1; }
    usleep 200000
done
grep -E '^  (front|back)' /run/status
grep 'tried it out' /run/log
echo '-- local clients --'
mkdir -p /run/cgroup
mount -t cgroup2 none /run/cgroup
/bin/ip link set lo up
mkdir /run/www
echo served >/run/www/index.html
busybox httpd -p 127.0.0.1:80 -h /run/www
echo '-A -t 192.0.2.1:80 -s rr
-a -t 192.0.2.1:80 -r 127.0.0.1:80 -m' >/run/rules
kill $!
lvsd --bpffs /sys/fs/bpf/local --socket /run/local.sock --interface far-back --table4 64 --table6 64 \
    --state /run/state2 --config /run/rules --local-clients >/run/log2 2>&1 &
tries=0
until lvsadm --socket /run/local.sock --status >/run/status 2>&1; do
    tries=$((tries + 1))
    kill -0 $! && [ $tries -lt 600 ] || { cat /run/log2; exit 1; }
    usleep 200000
done
busybox wget -q -O - http://192.0.2.1/index.html || cat /run/log2
";

/// Line between what the daemon does and what a client on the director gets.
const LOCAL: &str = "-- local clients --";

/// Output of the script on Debian's kernel: one machine for all tests.
fn debian() -> Option<&'static str> {
    static SAID: OnceLock<Option<String>> = OnceLock::new();
    let run = || {
        if lab::skipped(vm::check().and_then(|()| programs(&["ip", "ethtool"]))) {
            return None;
        }
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian");
        let kernel = Kernel::debian(&folder).unwrap();
        assert!(kernel.release().starts_with("6.1."), "{}", kernel.release());
        let tools = ["ip", "ethtool"].map(|name| find(name).unwrap());
        let own = [lvsd(), lab::built("lvsadm").unwrap()];
        let programs: Vec<&Path> = tools.iter().chain(&own).map(AsRef::as_ref).collect();
        let modules = ["veth", "sch_ingress", "cls_bpf"];
        let said = kernel.run_with_modules(&modules, &programs, SCRIPT);
        Some(said.unwrap_or_else(|error| panic!("{error:#}")))
    };
    SAID.get_or_init(run).as_deref()
}

#[test]
fn the_verifier_of_debians_kernel_6_1_accepts_the_program() {
    let Some(said) = debian() else { return };
    let (said, _) = said.split_once(DAEMON).unwrap();
    println!("{}", said.replace('\n', ": "));
    assert!(verified(said) < INSTRUCTIONS_AT_MOST, "{said}");
}

#[test]
fn on_debians_kernel_6_1_an_interface_that_takes_no_frames_from_xdp_is_found_at_the_start() {
    let Some(said) = debian() else { return };
    let (_, said) = said.split_once(DAEMON).unwrap();
    let (said, _) = said.split_once(LOCAL).unwrap();
    let lines: Vec<_> = said
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let [front, back, lost] = lines[..] else {
        panic!("{said}");
    };
    assert!(
        front.contains("native+tc (as wanted (--mode), but it takes no frames from XDP"),
        "{said}"
    );
    assert!(
        back.contains("TC beside it for what leaves by front"),
        "{said}"
    );
    assert!(
        lost.contains("front did not send") && lost.contains("it takes no frames from XDP"),
        "{said}"
    );
}

#[test]
fn on_debians_kernel_6_1_a_client_on_the_director_is_served() {
    let Some(said) = debian() else { return };
    let (_, said) = said.split_once(LOCAL).unwrap();
    assert_eq!(said.trim(), "served");
}

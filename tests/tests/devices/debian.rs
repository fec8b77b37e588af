//! Kinds of devices that not every kernel has, on Debian's: one machine is the director and all others.

use std::path::Path;

use lvs_tests::lab::{self, find};
use lvs_tests::vm::{self, Kernel};

/// Programs beside those of a virtual machine.
const PROGRAMS: [&str; 5] = ["bridge", "ethtool", "ip", "teamnl", "wg"];
/// Beside what they need.
const MODULES: [&str; 23] = [
    "8021q",
    "bonding",
    "bridge",
    "cls_bpf",
    "dummy",
    "fou",
    "fou6",
    "ip6_gre",
    "ip6_tunnel",
    "ip_gre",
    "ipip",
    "ipvlan",
    "macvlan",
    "sch_ingress",
    "sit",
    "team",
    "team_mode_activebackup",
    "tunnel4",
    "veth",
    "virtio_net",
    "virtio_pci",
    "vrf",
    "wireguard",
];
/// What the script tries by each of six services, and the devices that the program runs on, behind their drivers.
const KINDS: [(&str, &[&str]); 19] = [
    ("virtual addresses on a dummy device", &["plain"]),
    ("a VLAN device", &["e12.10"]),
    ("the interface below a VLAN device", &["e13"]),
    ("two VLANs, the interface below", &["e14"]),
    ("two VLANs, their devices", &["e16.16", "e16.17"]),
    ("a bond, active-backup", &["bond0"]),
    ("a bond, 802.3ad", &["bond1"]),
    ("a VLAN device of a bond", &["bond1.20"]),
    ("a team, activebackup", &["team0"]),
    ("virtual addresses on a macvlan device", &["e23", "vrrp.51"]),
    ("the port of a bridge", &["bp"]),
    ("a member of a VRF", &["e28"]),
    ("clients behind WireGuard", &["under", "wg0"]),
    ("a real server behind WireGuard", &["wg1", "e27"]),
    ("clients behind a GRE device", &["tunnel40"]),
    ("clients behind a sit device", &["tunnel41"]),
    ("clients behind an ip6tnl device", &["tunnel42"]),
    ("a bond whose other port took over", &["bond0"]),
    ("a team whose other port took over", &["team0"]),
];
/// The same for four services.
const VLANS_AND_RULES: [(&str, &[&str]); 3] = [
    ("a VLAN device of a bridge", &["bridge31.10"]),
    (
        "a VLAN device of a bridge that filters VLANs",
        &["bridge32.10"],
    ),
    ("clients in a VRF, by a rule", &["e33", "e34"]),
];
/// The same for six, with a program in the driver, for a bond in those of its ports.
const NATIVE: [(&str, &[&str]); 3] = [
    ("a bond in native mode", &["bond2"]),
    ("tags of VLANs in native mode", &["e37"]),
    ("a virtio card", &["card"]),
];
/// The same for ten services in tunnels.
const ENCAPSULATIONS: (&str, &[&str]) = ("GRE and GUE to a kernel's devices", &["e39"]);
/// The same for four services.
const IPVLAN: (&str, &[&str]) = ("an ipvlan device, L2", &["ipvl0"]);

#[test]
fn devices_of_debians_kernel_6_1_forward_by_every_method() {
    if lab::skipped(vm::check().and_then(|()| lab::programs(&PROGRAMS))) {
        return;
    }
    let kernel = Kernel::debian(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian")).unwrap();
    let own = ["lvsd", "lvsadm", "roundtrip"].map(|name| lab::built(name).unwrap());
    let others = PROGRAMS.map(|name| find(name).unwrap());
    let programs: Vec<_> = own.iter().chain(&others).map(|path| &**path).collect();
    let script = include_str!("debian.sh");
    let said = kernel
        .run_with_modules(&MODULES, &programs, script)
        .unwrap();
    println!("{said}");
    let expect = |(kind, interfaces): (&str, &[&str]), count: usize, place: &str| {
        let line = format!("ok: {kind}, ");
        let found = said.lines().filter(|said| said.starts_with(&line)).count();
        assert_eq!(found, count, "{kind}");
        for interface in interfaces {
            let found = said.lines().find_map(|line| {
                let rest = line.trim_start().strip_prefix(interface)?;
                rest.starts_with(' ').then(|| rest.trim_start())
            });
            let found = found.unwrap_or_else(|| panic!("no place of {interface}"));
            assert!(found.starts_with(place), "{interface}: {found}");
        }
    };
    for kind in KINDS {
        expect(kind, 6, "tc (");
    }
    for kind in VLANS_AND_RULES {
        expect(kind, 4, "tc (");
    }
    for kind in NATIVE {
        expect(kind, 6, "native+tc (");
    }
    expect(ENCAPSULATIONS, 10, "tc (");
    expect(IPVLAN, 4, "tc (");
}

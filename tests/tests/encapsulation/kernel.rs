//! Devices of Linux take what the director sends: `fou`, `gre`, and those of IP in IP, in one virtual machine.

use std::path::Path;

use lvs_api::model::Family::{Ipv4, Ipv6};
use lvs_tests::lab::{self, find};
use lvs_tests::pairs;
use lvs_tests::vm::{self, Kernel};

/// Programs beside those of a virtual machine.
const PROGRAMS: [&str; 2] = ["ethtool", "ip"];
/// With what they need.
const MODULES: [&str; 10] = [
    "cls_bpf",
    "fou",
    "fou6",
    "ip6_gre",
    "ip6_tunnel",
    "ip_gre",
    "ipip",
    "sch_ingress",
    "sit",
    "veth",
];

#[test]
fn a_real_server_with_linux_own_devices_answers_through_every_encapsulation() {
    if lab::skipped(vm::check().and_then(|()| lab::programs(&PROGRAMS))) {
        return;
    }
    let kernel = Kernel::debian(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian")).unwrap();
    let own = ["lvsd", "lvsadm"].map(|name| lab::built(name).unwrap());
    let others = PROGRAMS.map(|name| find(name).unwrap());
    let programs: Vec<_> = own.iter().chain(&others).map(|path| &**path).collect();
    let said = kernel
        .run_with_modules(&MODULES, &programs, include_str!("kernel.sh"))
        .unwrap();
    println!("{said}");
    let services = pairs([Ipv4, Ipv6], [Ipv4, Ipv6]).count();
    let ok = |mode: &str| {
        let line = format!("ok: {mode}, ");
        said.lines().filter(|said| said.starts_with(&line)).count()
    };
    for mode in ["xdp", "tc"] {
        assert_eq!(ok(mode), 6 * services, "{mode}");
    }
}

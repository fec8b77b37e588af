//! Interfaces are tried out with a frame of the daemon's own.

use lvs_common::verdict::Reason;
use lvs_dataplane::kernel::{DataPath, Directory, Options, Tried};
use lvs_tests::lab::{Arms, Lab, available};
use nix::mount::{MntFlags, umount2};

const OPTIONS: Options = Options {
    services: None,
    servers: None,
    entries4: Some(64),
    entries6: Some(64),
    slots: Some(1_024),
    fragments: Some(64),
    filter_nodes: Some(64),
    rss_source: false,
    icmp_rate: 100,
    sync_threshold: 3,
    sync_period: 50,
    local_clients: false,
    program_log: 0,
};

/// The program in the driver of an interface of the calling thread's namespace.
fn native(interface: &str) -> DataPath {
    let folder = tempfile::tempdir().unwrap();
    let directory = Directory::open(folder.path()).unwrap();
    let (mut path, _) = DataPath::open(directory, &OPTIONS, false).unwrap();
    path.run_on(interface, true, false, true).unwrap();
    // With its pins it ends with this process.
    umount2(folder.path(), MntFlags::MNT_DETACH).unwrap();
    path
}

/// What the kernel says of its devices is not asked: this is how it is found out on kernels that say nothing.
#[test]
fn a_frame_of_our_own_tells_whether_an_interface_takes_frames_from_xdp() {
    if !available() {
        return;
    }
    let mut lab = Lab::new(Arms::One).unwrap();
    let director = lab.director.namespace();
    let mac = director
        .run("cat", &["/sys/class/net/eth0/address"])
        .unwrap();
    let octets = mac
        .trim()
        .split(':')
        .map(|octet| u8::from_str_radix(octet, 16).unwrap());
    let mac: Vec<u8> = octets.collect();
    let mac = mac.try_into().unwrap();
    let (path, index) = director
        .enter(|| {
            (
                native("eth0"),
                nix::net::if_::if_nametoindex("eth0").unwrap(),
            )
        })
        .unwrap();
    let tried = |lab: &Lab| {
        let director = lab.director.namespace();
        director
            .enter(|| path.try_out(index, mac).unwrap())
            .unwrap()
    };
    assert_eq!(tried(&lab), Tried::Taken);
    lab.stop_receiving();
    for _ in 0..2 {
        let found = tried(&lab);
        assert!(matches!(found, Tried::Lost(1..)), "{found:?}");
    }
    lab.receive().unwrap();
    assert_eq!(tried(&lab), Tried::Taken);
    // No frame of a client was lost.
    assert_eq!(path.maps.verdicts.count(Reason::NotSent), 0);
    assert!(path.maps.lost_frames.read().is_empty());
}

use super::*;
use crate::neighbour::Interface;

const CARD: u32 = 1;
const BRIDGE: u32 = 2;
const VETH: u32 = 3;
const PLAIN_VETH: u32 = 4;
const TUN: u32 = 5;
const BOND: u32 = 6;
const PORT: u32 = 7;

/// One of each kind, on a kernel that tells what they can do.
fn devices() -> Devices {
    let tun = Interface {
        ethernet: false,
        mac: None,
        ..Interface::example("tun0", "tun")
    };
    let port = Interface {
        master: Some(BOND),
        ..Interface::example("port0", "veth")
    };
    let interfaces = [
        (CARD, Interface::example("eth0", "")),
        (BRIDGE, Interface::example("br0", "bridge")),
        (VETH, Interface::example("veth0", "veth")),
        (PLAIN_VETH, Interface::example("veth1", "veth")),
        (TUN, tun),
        (BOND, Interface::example("bond0", "bond")),
        (PORT, port),
    ];
    let features = [
        (CARD, 0x7),
        (BRIDGE, 0),
        (VETH, 0x67),
        (PLAIN_VETH, 0x23),
        (TUN, 0),
        (BOND, 0x67),
        (PORT, 0x67),
    ];
    Devices {
        interfaces: Arc::new(interfaces.into()),
        features: Some(features.into()),
        ..Devices::default()
    }
}

/// The same on a kernel that does not tell.
fn silent() -> Devices {
    Devices {
        features: None,
        ..devices()
    }
}

fn chosen(devices: &Devices, index: u32, ways_out: &[u32]) -> (bool, bool) {
    let ways_out = ways_out.iter().copied().collect();
    let choice = devices.choose(index, Mode::Auto, &ways_out).unwrap();
    (choice.xdp, choice.tc)
}

const XDP: (bool, bool) = (true, false);
const TC: (bool, bool) = (false, true);
const BOTH: (bool, bool) = (true, true);

#[test]
fn xdp_runs_where_a_driver_does_it_and_every_way_out_takes_its_frames() {
    let devices = devices();
    assert_eq!(chosen(&devices, CARD, &[CARD]), XDP);
    assert_eq!(chosen(&devices, CARD, &[CARD, BRIDGE]), BOTH);
    assert_eq!(chosen(&devices, BRIDGE, &[CARD, BRIDGE]), TC);
    assert_eq!(chosen(&devices, TUN, &[TUN]), TC);
}

#[test]
fn a_veth_device_takes_xdp_only_among_its_like() {
    let devices = devices();
    assert_eq!(chosen(&devices, VETH, &[VETH]), XDP);
    assert_eq!(chosen(&devices, VETH, &[VETH, BRIDGE]), TC);
    assert_eq!(chosen(&devices, PLAIN_VETH, &[PLAIN_VETH]), TC);
    assert_eq!(chosen(&devices, VETH, &[VETH, PLAIN_VETH]), TC);
}

#[test]
fn where_the_kernel_says_nothing_veth_devices_and_what_is_made_of_them_take_tc() {
    let mut devices = silent();
    assert_eq!(chosen(&devices, VETH, &[]), TC);
    assert_eq!(chosen(&devices, BOND, &[]), TC);
    assert_eq!(chosen(&devices, BRIDGE, &[]), TC);
    assert_eq!(chosen(&devices, CARD, &[]), XDP);
    // Until its driver refuses.
    devices.refused.insert(CARD, "no".into());
    assert_eq!(chosen(&devices, CARD, &[]), TC);
}

#[test]
fn where_the_kernel_says_nothing_a_driver_sends_while_it_runs_a_program() {
    let mut devices = silent();
    assert!(!devices.sends_xdp(CARD));
    devices.attached.extend([CARD, VETH]);
    assert!(!devices.sends_xdp(CARD), "not tried out yet");
    devices.tried.extend([(CARD, true), (VETH, true)]);
    assert!(devices.sends_xdp(CARD));
    assert!(!devices.sends_xdp(VETH));
    devices.insisted.insert(VETH);
    assert!(devices.sends_xdp(VETH));
}

#[test]
fn where_the_kernel_says_nothing_tc_sends_until_a_frame_was_taken() {
    let mut devices = silent();
    assert_eq!(chosen(&devices, CARD, &[CARD]), BOTH, "unknown");
    devices.attached.insert(CARD);
    assert_eq!(devices.untried(), [CARD]);
    devices.tried.insert(CARD, false);
    assert_eq!(
        chosen(&devices, CARD, &[CARD]),
        BOTH,
        "lost, or still unknown"
    );
    devices.tried.insert(CARD, true);
    assert_eq!(chosen(&devices, CARD, &[CARD]), XDP);
    assert!(devices.untried().is_empty());
    // Its wire was made anew.
    devices.forget(|index| index != CARD);
    assert_eq!(devices.untried(), [CARD]);
    assert_eq!(chosen(&devices, CARD, &[CARD]), BOTH);
    devices.lossy.insert(CARD);
    assert!(devices.untried().is_empty(), "known to lose them");
}

#[test]
fn what_lost_frames_is_sent_none_any_more() {
    let mut devices = devices();
    devices.lossy.insert(CARD);
    assert_eq!(devices.senders(), [VETH, BOND, PORT].into());
    assert_eq!(chosen(&devices, CARD, &[CARD]), BOTH);
}

#[test]
fn a_wish_that_cannot_be_is_refused_with_the_reason() {
    let devices = devices();
    let refusal = |index| {
        devices
            .choose(index, Mode::Xdp, &BTreeSet::new())
            .unwrap_err()
    };
    assert_eq!(refusal(BRIDGE), "a bridge device runs no XDP programs");
    assert!(refusal(TUN).contains("Ethernet header"));
    assert!(refusal(PLAIN_VETH).contains("other end"));
    let choice = devices.choose(CARD, Mode::Tc, &BTreeSet::new()).unwrap();
    assert_eq!((choice.xdp, choice.tc), TC);
}

#[test]
fn where_the_driver_takes_vlan_tags_off_the_program_runs_behind_it() {
    let mut devices = devices();
    devices.untagging = [CARD, PORT].into();
    for (index, name) in [(CARD, "eth0"), (BOND, "port0")] {
        assert_eq!(chosen(&devices, index, &[]), (false, true));
        let wanted = devices.choose(index, Mode::Xdp, &BTreeSet::new()).unwrap();
        assert!(wanted.xdp);
        let hint = format!(
            "though VLAN tags are taken off before XDP sees the frames (to keep them: ethtool -K IF rxvlan off, for {name})"
        );
        assert!(wanted.why.ends_with(&hint), "{}", wanted.why);
    }
    devices.untagging.clear();
    assert_eq!(chosen(&devices, CARD, &[]), (true, false));
}

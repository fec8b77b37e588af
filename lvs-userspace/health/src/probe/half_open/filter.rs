//! Which packets the raw sockets of half-open connections take: classic BPF (socket(7), `SO_ATTACH_FILTER`).

use socket2::{Domain, SockFilter};

/// Takes no packet.
pub(super) const NOTHING: SockFilter = SockFilter::new(RETURN, 0, 0, 0);
/// `BPF_RET | BPF_K`.
const RETURN: u16 = 0x06;
/// `BPF_LDX | BPF_B | BPF_MSH`: four times the lower half of a byte.
const LOAD_LENGTH: u16 = 0xb1;
/// `BPF_LD | BPF_H | BPF_IND`.
const LOAD_BEYOND: u16 = 0x48;
/// `BPF_LD | BPF_H | BPF_ABS`.
const LOAD: u16 = 0x28;
/// `BPF_JMP | BPF_JEQ | BPF_K`.
const IF_EQUAL: u16 = 0x15;

/// Takes segments to these ports. A raw socket is shown every segment for this machine.
pub(super) fn to_ports(
    domain: Domain,
    ports: impl ExactSizeIterator<Item = u16>,
) -> Vec<SockFilter> {
    // The destination port follows the source port; IPv4 packets are seen with their header.
    let mut filter = match domain {
        Domain::IPV4 => vec![
            SockFilter::new(LOAD_LENGTH, 0, 0, 0),
            SockFilter::new(LOAD_BEYOND, 0, 0, 2),
        ],
        _ => vec![SockFilter::new(LOAD, 0, 0, 2)],
    };
    let left = (0..ports.len()).rev();
    filter.extend(ports.zip(left).map(|(port, left)| {
        // Over those that are left, and the end.
        let taken = u8::try_from(left + 1).unwrap_or(u8::MAX);
        SockFilter::new(IF_EQUAL, taken, 0, port.into())
    }));
    filter.push(NOTHING);
    filter.push(SockFilter::new(RETURN, 0, 0, u32::MAX));
    filter
}

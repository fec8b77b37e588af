//! The reason why a driver refuses an XDP program. The kernel gives a number only.

use std::error::Error;
use std::io;

use crate::neighbour::Interface;

/// Most drivers give an XDP program each frame in one page, beside what they need there themselves: the largest IP
/// packet in bytes that fits everywhere.
const FITS: u32 = 3_498;

/// The refusal of an attachment to an interface, for people.
pub(super) fn describe(error: &(dyn Error + 'static), interface: Option<&Interface>) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let number = cause
        .downcast_ref::<io::Error>()
        .and_then(io::Error::raw_os_error);
    format!("{cause}{}", remark(number, interface).unwrap_or_default())
}

/// The MTU, where that is the reason or may be.
fn remark(number: Option<i32>, interface: Option<&Interface>) -> Option<String> {
    let interface = interface?;
    let limit = format!("XDP takes up to about {FITS}");
    // The driver of veth devices says so for nothing else.
    if interface.kind == "veth" && number == Some(libc::ERANGE) {
        return Some(format!("; the MTU of its other end is too large, {limit}"));
    }
    let mtu = interface.mtu;
    (mtu > FITS).then(|| format!("; its MTU of {mtu} may be too large, {limit}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_mtu_is_named() {
        let said = |kind, mtu, number| {
            let interface = Interface {
                mtu,
                ..Interface::example("eth0", kind)
            };
            describe(&io::Error::from_raw_os_error(number), Some(&interface))
        };
        let end = "; the MTU of its other end is too large, XDP takes up to about 3498";
        assert!(said("veth", 1500, libc::ERANGE).ends_with(end));
        let own = "; its MTU of 9000 may be too large, XDP takes up to about 3498";
        assert!(said("", 9000, libc::EINVAL).ends_with(own));
        assert_eq!(
            said("", 1500, libc::EINVAL),
            io::Error::from_raw_os_error(libc::EINVAL).to_string()
        );
    }
}

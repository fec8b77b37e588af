//! The messages of FTP's control connections that announce a data connection: PORT and the reply to PASV (RFC 959),
//! EPRT and the reply to EPSV (RFC 2428). As for the kernel's `ip_vs_ftp`, a message begins where a segment's data
//! begins, and is read only where the segment has all of it up to its end.

mod address;
mod reader;
#[cfg(test)]
mod tests;

use zerocopy::byteorder::network_endian::U16;

pub use self::address::ADDRESS_TEXT;
pub use self::reader::{Message, Reader, VERB};
use crate::abi::ServiceKey;
use crate::connection::Key;
use crate::family::Family;
use crate::wire::protocol;

/// Port of control connections (`FTPPORT` of `ip_vs.h`).
pub const CONTROL: U16 = U16::new(21);
/// Virtual port of a client's data connections that the real server opens: the one below that of the control
/// connection.
pub const DATA: U16 = U16::new(20);
/// The first port that a data connection may be announced for: those below have their own services (RFC 2577).
pub const FIRST_PORT: u16 = 1024;

/// Returns whether a key is that of a control connection.
#[inline(always)]
pub fn is_control<F: Family>(key: &Key<F>) -> bool {
    key.protocol == protocol::TCP && key.ports.destination == CONTROL
}

/// Returns whether a service is one of control connections.
#[inline(always)]
pub fn serves(service: &ServiceKey) -> bool {
    service.protocol == protocol::TCP && service.port == CONTROL
}

/// Returns whether a connection of a service to this virtual port is a data connection; a template has port 0.
#[inline(always)]
pub fn is_data(service: &ServiceKey, port: U16) -> bool {
    serves(service) && port != CONTROL && port != U16::ZERO
}

/// The port of a real server, which has `own` or 0, for a connection of its service to this virtual port. A data
/// connection keeps the port that a server announced (`ip_vs_ftp_out`), or is from the one below the server's own.
#[inline(always)]
pub fn server_port(service: &ServiceKey, own: U16, port: U16) -> U16 {
    if own == U16::ZERO {
        return port;
    }
    if !is_data(service, port) {
        return own;
    }
    if port == DATA {
        U16::new(own.get().wrapping_sub(1))
    } else {
        port
    }
}

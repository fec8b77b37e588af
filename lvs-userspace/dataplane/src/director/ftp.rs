//! FTP by direct routing: data connections go to other ports than the control connection's.

use std::mem::offset_of;
use std::sync::atomic::Ordering;

use lvs_api::model::Method;
use lvs_common::abi::{Config, ServiceKey};
use lvs_common::connection::Protocol;

use super::wanted::Wanted;
use crate::kernel::Mapping;

/// Port of control connections (`FTPPORT` of `ip_vs.h`).
const PORT: u16 = 21;

/// True for a service of control connections.
pub(super) fn is_control(key: &ServiceKey) -> bool {
    key.protocol == Protocol::Tcp.number() && key.port.get() == PORT
}

/// True if a service of control connections takes data connections, too: a template decides about them, and
/// NAT would send them to the control connection's port (IPVS has its FTP helper for that).
pub(super) fn accepts_data(key: &ServiceKey, wanted: &Wanted) -> bool {
    let mut servers = wanted.servers.iter();
    is_control(key)
        && wanted.settings.persistence.is_some()
        && servers.all(|(_, settings)| settings.method != Method::Nat)
}

/// Says whether there are services of control connections.
pub(super) fn publish(config: &Mapping<Config>, any: bool) {
    if let Some(word) = config.word(0, offset_of!(Config, ftp_services)) {
        word.store(any.into(), Ordering::Release);
    }
}

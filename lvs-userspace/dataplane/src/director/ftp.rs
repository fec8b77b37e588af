//! FTP: data connections go to other ports than the control connection's. By NAT they are announced, by the other
//! methods a template of the client decides about them.

use std::mem::offset_of;
use std::sync::atomic::Ordering;

use lvs_api::model::Method;
use lvs_common::abi::{Config, ServiceKey};
use lvs_common::ftp::serves;

use super::wanted::Wanted;
use crate::kernel::Mapping;

/// True if a service of control connections takes data connections that nothing announced: a template decides about
/// them, and NAT would send them to the control connection's port.
pub(super) fn accepts_data(key: &ServiceKey, wanted: &Wanted) -> bool {
    let mut servers = wanted.servers.iter();
    serves(key)
        && wanted.settings.persistence.is_some()
        && servers.all(|(_, settings)| settings.method != Method::Nat)
}

/// Says whether there are services of control connections.
pub(super) fn publish(config: &Mapping<Config>, any: bool) {
    if let Some(word) = config.word(0, offset_of!(Config, ftp_services)) {
        word.store(any.into(), Ordering::Release);
    }
}

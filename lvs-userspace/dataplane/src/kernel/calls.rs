//! Calls of services with the persistence engine `sip`.

use aya::maps::{HashMap, Map, MapData};
use lvs_common::abi::{self, Call, CallNumber};
use lvs_common::connection::EntryId;
use parking_lot::Mutex;
use tracing::debug;

use super::error::KernelError;
use super::wire::Wire;

/// The Call-IDs of templates, and the calls of connections. Both maps may have forgotten what was not used for long.
pub struct Calls {
    calls: Mutex<HashMap<MapData, Wire<CallNumber>, Wire<Call>>>,
    of_connections: HashMap<MapData, u32, Wire<CallNumber>>,
}

impl Calls {
    pub(super) fn new(calls: Map, of_connections: Map) -> Result<Self, KernelError> {
        let calls = HashMap::try_from(calls);
        let calls = calls.map_err(KernelError::map("cannot use", abi::CALLS))?;
        let of_connections = HashMap::try_from(of_connections);
        let of_connections =
            of_connections.map_err(KernelError::map("cannot use", abi::CONNECTION_CALLS))?;
        Ok(Self {
            calls: Mutex::new(calls),
            of_connections,
        })
    }

    /// The Call-ID of a call, unless it is forgotten.
    pub fn call(&self, number: CallNumber) -> Option<Call> {
        let found = self.calls.lock().get(&Wire(number), 0);
        found.ok().map(|Wire(call)| call)
    }

    /// The call of a connection whose entry says that it has one.
    pub fn of_connection(&self, connection: EntryId) -> Option<CallNumber> {
        let found = self.of_connections.get(&connection.bits(), 0);
        found.ok().map(|Wire(number)| number)
    }

    /// Remembers the Call-ID of a call.
    pub fn remember(&self, number: CallNumber, call: &Call) {
        if let Err(error) = self.calls.lock().insert(Wire(number), Wire(*call), 0) {
            debug!("cannot keep a Call-ID: {error}");
        }
    }
}

//! Call-IDs of templates: they travel as they are, for each director numbers calls by secrets of its own.

use lvs_common::abi::{Call, CallNumber};
use lvs_common::connection::{Key, Kind, template};
use lvs_common::family::Family;
use lvs_common::secrets::Secrets;
use lvs_dataplane::director::Recognized;
use lvs_dataplane::kernel::Calls;

use crate::discard::Discard;

/// The Call-IDs that a director knows.
pub(crate) trait CallIds: Sync {
    /// The Call-ID of a call, unless it is forgotten.
    fn call(&self, number: CallNumber) -> Option<Call>;
    /// Remembers the Call-ID of a call.
    fn remember(&self, number: CallNumber, call: &Call);
}

impl CallIds for Calls {
    fn call(&self, number: CallNumber) -> Option<Call> {
        Self::call(self, number)
    }

    fn remember(&self, number: CallNumber, call: &Call) {
        Self::remember(self, number, call);
    }
}

/// Remembers the Call-ID of another director's template, whose key says the client's network. Returns its key here.
pub(crate) fn keep_call<F: Family>(
    key: &Key<F>,
    call_id: &[u8],
    recognized: &Recognized,
    secrets: impl Secrets,
    calls: &dyn CallIds,
) -> Result<Key<F>, Discard> {
    if key.kind != Kind::Template as u8 || !recognized.by_call_id {
        return Err(Discard::Engine);
    }
    let call = Call::of(call_id, F::widen(key.source)).ok_or(Discard::Engine)?;
    let number = CallNumber::of(&call, secrets);
    calls.remember(number, &call);
    Ok(template::call_template(number, &recognized.service))
}

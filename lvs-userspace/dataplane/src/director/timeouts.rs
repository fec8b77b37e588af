//! The timeouts that `ipvsadm --set` sets.

use std::mem::offset_of;
use std::sync::atomic::Ordering;

use lvs_api::protocol::{Refusal, RefusalKind};
use lvs_api::timeouts::Timeouts;
use lvs_common::abi::{self, Config, Plan};
use lvs_common::connection::{Protocol, tcp, udp};

use crate::kernel::Mapping;

/// Longest time IPVS takes: 31 days.
pub(super) const LONGEST_SECONDS: u32 = 2_678_400;

/// Places in [`Config::timeouts`]: established, closing and UDP.
const PLACES: [usize; 3] = [
    Config::timeout_index(Protocol::Tcp, tcp::State::Established as u32),
    Config::timeout_index(Protocol::Tcp, tcp::State::FinWait as u32),
    Config::timeout_index(Protocol::Udp, udp::NORMAL as u32),
];

/// Stores the timeouts that are not 0.
pub(super) fn set(config: &Mapping<Config>, timeouts: Timeouts) -> Result<(), Refusal> {
    check(timeouts)?;
    let Timeouts { tcp, tcp_fin, udp } = timeouts;
    let seconds = [tcp, tcp_fin, udp];
    for (place, seconds) in PLACES.into_iter().zip(seconds) {
        let offset = offset_of!(Config, timeouts) + place * size_of::<u32>();
        if let (Some(word), true) = (config.word(0, offset), seconds > 0) {
            word.store(abi::ticks(seconds), Ordering::Relaxed);
        }
    }
    Ok(())
}

/// Refuses times that IPVS does not take either.
pub(super) fn check(timeouts: Timeouts) -> Result<(), Refusal> {
    let Timeouts { tcp, tcp_fin, udp } = timeouts;
    if [tcp, tcp_fin, udp].into_iter().max() > Some(LONGEST_SECONDS) {
        return Err(Refusal::new(
            RefusalKind::Invalid,
            format!("a timeout is at most {LONGEST_SECONDS} seconds"),
        ));
    }
    Ok(())
}

/// A service's own timeouts as its plan has them.
pub(super) fn for_plan(timeouts: Timeouts) -> [u32; 3] {
    [timeouts.tcp, timeouts.tcp_fin, timeouts.udp].map(abi::ticks)
}

/// A service's own timeouts, from its plan.
pub(super) fn of_plan(plan: &Plan) -> Timeouts {
    let [tcp, tcp_fin, udp] = plan.timeouts.map(abi::seconds);
    Timeouts { tcp, tcp_fin, udp }
}

/// The timeouts in force.
pub(super) fn get(config: &Mapping<Config>) -> Timeouts {
    let config = config.read(0);
    let [tcp, tcp_fin, udp] = PLACES.map(|place| {
        let ticks = config.and_then(|config| config.timeouts.get(place).copied());
        abi::seconds(ticks.unwrap_or(0))
    });
    Timeouts { tcp, tcp_fin, udp }
}

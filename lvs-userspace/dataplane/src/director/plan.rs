//! A virtual service in the form the maps hold it, and read back from it.

use lvs_api::model::{
    Method, OnDown, Persistence, ServerId, ServerSettings, ServiceId, ServiceSettings, Tunnel,
};
use lvs_api::protocol::{Refusal, RefusalKind};
use lvs_api::snat::Snat;
use lvs_common::abi::{Member, Pick, Plan};
use zerocopy::FromZeros as _;

use super::services::Assigned;
use super::wanted::{ENGINE, Wanted};
use super::{ftp, keys, timeouts};
use crate::scheduler::{Candidate, Scheduler};

/// A plan with what it refers to, before places in the maps are allocated for it.
pub(super) struct Layout {
    /// All but the numbers of its first member and slot.
    pub(super) plan: Plan,
    pub(super) members: Vec<Member>,
    pub(super) slots: Vec<u16>,
}

impl Layout {
    /// Lays out a service with the server indexes assigned to its servers.
    pub(super) fn new(
        index: u32,
        id: &ServiceId,
        wanted: &Wanted,
        assigned: &[Assigned],
        is_local: impl Fn(&ServerId) -> bool,
    ) -> Result<Self, Refusal> {
        let settings = &wanted.settings;
        let scheduler = Scheduler::from_name(&settings.scheduler).ok_or_else(|| {
            Refusal::new(RefusalKind::UnknownScheduler, "there is no such scheduler")
        })?;
        let members: Vec<Member> = (wanted.servers.iter().zip(assigned))
            .map(|((server, settings), assigned)| {
                let method = if is_local(server) {
                    Method::Local
                } else {
                    settings.method
                };
                member(settings, method, *assigned)
            })
            .collect();
        let slots = scheduler.table(&candidates(wanted, assigned));
        let pick = if members.is_empty() {
            Pick::Nothing
        } else {
            scheduler.pick()
        };
        let persistence = settings.persistence;
        let plan = Plan {
            key: keys::key(id),
            service: index,
            member_count: length(&members),
            slot_count: length(&slots),
            persistence: persistence.map_or(0, |persistence| persistence.timeout),
            prefix: persistence.map_or(0, |persistence| persistence.prefix),
            pick: pick as u8,
            flags: flags(settings)
                | if ftp::accepts_data(&keys::key(id), wanted) {
                    Plan::FTP
                } else {
                    0
                },
            scheduler: scheduler.number()
                | if settings.engine.is_some() {
                    Plan::BY_CALL_ID
                } else {
                    0
                },
            timeouts: timeouts::for_plan(settings.timeouts.unwrap_or_default()),
            ..Plan::new_zeroed()
        };
        Ok(Self {
            plan,
            members,
            slots,
        })
    }
}

/// The members of a service, as tables are built from them.
pub(super) fn candidates(wanted: &Wanted, assigned: &[Assigned]) -> Vec<Candidate> {
    let servers = wanted.servers.iter().zip(assigned);
    servers
        .map(|((server, settings), assigned)| Candidate {
            address: server.address(),
            port: server.0.port(),
            weight: settings.weight,
            last_weight: assigned.last_weight,
        })
        .collect()
}

/// Settings of a service but for its filter, from its plan; `None` if no daemon writes such a plan.
pub(super) fn service_settings(plan: &Plan) -> Option<ServiceSettings> {
    Some(ServiceSettings {
        scheduler: Scheduler::from_number(plan.scheduler())?.name().to_owned(),
        scheduler_flags: plan.flags & SCHEDULER_FLAGS,
        persistence: (plan.persistence != 0).then_some(Persistence {
            timeout: plan.persistence,
            prefix: plan.prefix,
        }),
        one_packet: plan.flags & Plan::ONE_PACKET != 0,
        redispatch: Some(plan.flags & Plan::REDISPATCH != 0),
        on_down: Some(if plan.flags & Plan::RESET != 0 {
            OnDown::Reset
        } else if plan.flags & Plan::RESCHEDULE != 0 {
            OnDown::Reschedule
        } else {
            OnDown::Keep
        }),
        timeouts: Some(timeouts::of_plan(plan)),
        engine: plan.is_by_call_id().then(|| ENGINE.to_owned()),
        filter: None,
    })
}

/// Settings of a real server, from its member, its tunnel and its source pool.
pub(super) const fn server_settings(
    member: &Member,
    tunnel: Tunnel,
    snat: Option<Snat>,
) -> ServerSettings {
    ServerSettings {
        method: keys::method(member.configured),
        weight: member.weight,
        upper: member.upper,
        lower: member.lower,
        tunnel,
        snat,
    }
}

const SCHEDULER_FLAGS: u8 = Plan::FLAG_1 | Plan::FLAG_2 | Plan::FLAG_3;

fn flags(settings: &ServiceSettings) -> u8 {
    let set = |bit, on| if on { bit } else { 0 };
    settings.scheduler_flags & SCHEDULER_FLAGS
        | set(Plan::ONE_PACKET, settings.one_packet)
        | set(Plan::REDISPATCH, settings.redispatch == Some(true))
        | set(Plan::RESET, settings.on_down == Some(OnDown::Reset))
        | set(
            Plan::RESCHEDULE,
            settings.on_down == Some(OnDown::Reschedule),
        )
}

fn member(settings: &ServerSettings, method: Method, assigned: Assigned) -> Member {
    Member {
        server: assigned.server,
        weight: settings.weight,
        upper: settings.upper,
        lower: settings.lower,
        method: keys::raw_method(method),
        configured: keys::raw_method(settings.method),
        last_weight: assigned.last_weight,
        ..Member::new_zeroed()
    }
}

/// Lengths fit: a service's members and slots are far fewer.
fn length<T>(slice: &[T]) -> u32 {
    u32::try_from(slice.len()).unwrap_or(u32::MAX)
}

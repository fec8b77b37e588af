//! Plans: what a service is, written where no packet looks yet.

use lvs_common::abi::{Member, Pick, Plan};

use super::room::Of;
use super::{Director, Placed, Wanted, keys};
use crate::scheduler::{Candidate, Scheduler};
use lvs_api::model::{Method, ServerSettings, ServiceId, ServiceSettings};
use lvs_api::protocol::{Refusal, RefusalKind};

impl Director {
    /// Writes a plan that nothing refers to yet.
    pub(super) fn write_plan(
        &mut self,
        index: u32,
        id: &ServiceId,
        wanted: &Wanted,
        members: &[Placed],
    ) -> Result<u32, Refusal> {
        let key = keys::key(id);
        let settings = &wanted.settings;
        let scheduler = Scheduler::from_name(&settings.scheduler).ok_or_else(|| {
            Refusal::new(RefusalKind::UnknownScheduler, "there is no such scheduler")
        })?;
        let servers = || wanted.servers.iter().zip(members);
        let candidates: Vec<Candidate> = servers()
            .map(|((server, settings), member)| Candidate {
                address: server.address(),
                port: server.0.port(),
                weight: settings.weight,
                last_weight: member.last_weight,
            })
            .collect();
        let table = scheduler.table(&candidates);
        let (member_count, slot_count) = (length(members), length(&table));

        let plan = self.take(Of::Plans, 1, "services")?;
        let first_member = match self.take(Of::Members, member_count, "real servers") {
            Ok(first) => first,
            Err(refusal) => {
                self.room.give(Of::Plans, plan, 1);
                return Err(refusal);
            }
        };
        let first_slot = match self.take(Of::Slots, slot_count, "scheduling tables (see --slots)") {
            Ok(first) => first,
            Err(refusal) => {
                self.room.give(Of::Members, first_member, member_count);
                self.room.give(Of::Plans, plan, 1);
                return Err(refusal);
            }
        };
        for (place, ((server, settings), placed)) in (first_member..).zip(servers()) {
            let method = if self.hops.is_local(&server.address()) {
                Method::Local
            } else {
                settings.method
            };
            self.maps
                .members
                .write(place, member(settings, method, *placed));
        }
        for (place, &slot) in (first_slot..).zip(&table) {
            self.maps.slots.write(place, slot);
        }
        self.maps.plans.write(
            plan,
            Plan {
                key,
                service: index,
                members: first_member,
                member_count,
                slots: first_slot,
                slot_count,
                persistence: settings
                    .persistence
                    .map_or(0, |persistence| persistence.timeout),
                prefix: settings
                    .persistence
                    .map_or(0, |persistence| persistence.prefix),
                pick: if members.is_empty() {
                    Pick::Nothing as u8
                } else {
                    scheduler.pick() as u8
                },
                flags: flags(settings),
                scheduler: scheduler.number(),
                reserved: [0; 16],
            },
        );
        Ok(plan)
    }

    /// Gives back a plan that was never published.
    pub(super) fn give_plan(&mut self, number: u32) {
        if let Some(plan) = self.maps.plans.read(number) {
            self.room.give(Of::Members, plan.members, plan.member_count);
            self.room.give(Of::Slots, plan.slots, plan.slot_count);
            self.room.give(Of::Plans, number, 1);
        }
    }

    /// Gives back a plan that was in force until now.
    pub(super) fn retire_plan(&mut self, number: u32) {
        if let (Some(plan), true) = (self.maps.plans.read(number), number != 0) {
            self.room
                .retire(Of::Members, plan.members, plan.member_count);
            self.room.retire(Of::Slots, plan.slots, plan.slot_count);
            self.room.retire(Of::Plans, number, 1);
        }
    }
}

fn flags(settings: &ServiceSettings) -> u8 {
    let scheduler = settings.scheduler_flags & (Plan::FLAG_1 | Plan::FLAG_2 | Plan::FLAG_3);
    let set = |bit, on| if on { bit } else { 0 };
    scheduler
        | set(Plan::ONE_PACKET, settings.one_packet)
        | set(Plan::REDISPATCH, settings.redispatch == Some(true))
}

fn member(settings: &ServerSettings, method: Method, placed: Placed) -> Member {
    Member {
        server: placed.server,
        weight: settings.weight,
        upper: settings.upper,
        lower: settings.lower,
        method: keys::raw_method(method),
        configured: keys::raw_method(settings.method),
        reserved: [0; 2],
        last_weight: placed.last_weight,
        padding: [0; 8],
    }
}

/// Lengths fit: a service's members and slots are far fewer.
fn length<T>(slice: &[T]) -> u32 {
    u32::try_from(slice.len()).unwrap_or(u32::MAX)
}

//! Writes plans where no packet looks yet, and switches services over to them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use lvs_api::protocol::Refusal;
use lvs_common::abi::Plan;

use super::allocator::{Allocator, MapKind};
use super::plan::Layout;
use crate::kernel::Maps;

/// The plans in the maps.
pub(super) struct Publisher {
    maps: Arc<Maps>,
}

impl Publisher {
    pub(super) const fn new(maps: Arc<Maps>) -> Self {
        Self { maps }
    }

    /// Writes a plan that nothing refers to yet; returns its number.
    pub(super) fn write(&self, layout: &Layout, allocator: &mut Allocator) -> Result<u32, Refusal> {
        let Layout {
            plan,
            members,
            slots,
        } = layout;
        let [number, first_member, first_slot] = allocator.allocate_all([
            (MapKind::Plans, 1),
            (MapKind::Members, plan.member_count),
            (MapKind::Slots, plan.slot_count),
        ])?;
        for (place, &member) in (first_member..).zip(members) {
            self.maps.members.write(place, member);
        }
        for (place, &slot) in (first_slot..).zip(slots) {
            self.maps.slots.write(place, slot);
        }
        let plan = Plan {
            members: first_member,
            slots: first_slot,
            ..*plan
        };
        self.maps.plans.write(number, plan);
        Ok(number)
    }

    /// Switches a service over to a written plan; 0: to none.
    pub(super) fn switch(&self, service: u32, plan: u32) {
        if let Some(head) = self.maps.active_plans.word(service, 0) {
            head.store(plan, Ordering::Release);
        }
    }

    /// Frees a plan that was in force until now, after a grace period.
    pub(super) fn retire(&self, number: u32, allocator: &mut Allocator) {
        for (kind, start, length) in self.ranges(number) {
            allocator.retire(kind, start, length);
        }
    }

    /// The ranges that a plan takes up; none of plan 0.
    fn ranges(&self, number: u32) -> impl Iterator<Item = (MapKind, u32, u32)> {
        let plan = self.maps.plans.read(number).filter(|_| number != 0);
        plan.into_iter().flat_map(move |plan| {
            [
                (MapKind::Members, plan.members, plan.member_count),
                (MapKind::Slots, plan.slots, plan.slot_count),
                (MapKind::Plans, number, 1),
            ]
        })
    }

    /// Allocates the ranges of a plan that is in force; false if something else takes up part of them.
    pub(super) fn reserve(&self, number: u32, allocator: &mut Allocator) -> bool {
        self.ranges(number)
            .all(|(kind, start, length)| allocator.reserve(kind, start, length))
    }
}

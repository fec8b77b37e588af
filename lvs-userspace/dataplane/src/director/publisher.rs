//! Writes plans where no packet looks yet, and switches services over to them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use lvs_api::protocol::{Refusal, RefusalKind};
use lvs_common::abi::{Pick, Plan, TreeNode, TreeShape};

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
        let tree = nodes(plan);
        let [number, first_member, first_slot, root] = allocator.allocate_all([
            (MapKind::Plans, 1),
            (MapKind::Members, plan.member_count),
            (MapKind::Slots, plan.slot_count),
            (MapKind::TreeNodes, tree),
        ])?;
        let node = TreeNode::of_new_tree(first_member, members);
        for number in root..root + tree {
            self.maps.loads.write_node(number, node);
        }
        for (place, &member) in (first_member..).zip(members) {
            self.maps.members.write(place, member);
        }
        let mut written = (first_slot..).zip(slots);
        if !written.all(|(place, &slot)| self.maps.slots.write(place, slot)) {
            // No packet looks there yet.
            for (kind, start, length) in [
                (MapKind::Plans, number, 1),
                (MapKind::Members, first_member, plan.member_count),
                (MapKind::Slots, first_slot, plan.slot_count),
                (MapKind::TreeNodes, root, tree),
            ] {
                allocator.free(kind, start, length);
            }
            return Err(Refusal::new(
                RefusalKind::Internal,
                "the kernel does not map the scheduling tables, see the daemon's log; try again",
            ));
        }
        let plan = Plan {
            members: first_member,
            slots: if tree == 0 { first_slot } else { root },
            ..*plan
        };
        self.maps.plans.write(number, plan);
        Ok(number)
    }

    /// Switches a service over to a written plan; 0: to none.
    ///
    /// Its servers make the nodes of the new plan's tree stale before a packet looks there, and all of them are stale
    /// at first: no change of a load is missed.
    pub(super) fn switch(&self, service: u32, plan: u32) {
        let Some(head) = self.maps.active_plans.word(service, 0) else {
            return;
        };
        for (_, server) in self.members(head.load(Ordering::Relaxed)) {
            self.maps.loads.set_leaf(server, 0, 0);
        }
        let root = self.plan(plan).and_then(|plan| plan.tree());
        for (position, server) in self.members(plan) {
            let root = root.map_or(0, |tree| tree.root);
            self.maps.loads.set_leaf(server, root, position);
        }
        head.store(plan, Ordering::Release);
    }

    /// Puts the servers of an adopted plan into its tree: who wrote it may have died on the way to another plan.
    pub(super) fn adopt_tree(&self, number: u32) {
        let root = self.plan(number).and_then(|plan| plan.tree());
        let root = root.map_or(0, |tree| tree.root);
        for (position, server) in self.members(number) {
            self.maps.loads.set_leaf(server, root, position);
            // Changes that were not marked.
            self.maps.loads.account(server, 0);
        }
    }

    /// A plan by its number; none of number 0.
    fn plan(&self, number: u32) -> Option<Plan> {
        self.maps.plans.read(number).filter(|_| number != 0)
    }

    /// A plan's slots.
    pub(super) fn slots(&self, plan: &Plan) -> Vec<u16> {
        let places = plan.slots..plan.slots.saturating_add(plan.slot_count);
        places
            .map_while(|place| self.maps.slots.read(place))
            .collect()
    }

    /// Positions and indexes of a plan's servers.
    fn members(&self, number: u32) -> impl Iterator<Item = (u32, u32)> {
        let plan = self.plan(number);
        let places = plan.map_or(0..0, |plan| plan.members..plan.members + plan.member_count);
        let members = places.filter_map(|place| self.maps.members.read(place));
        (0..).zip(members.map(|member| member.server))
    }

    /// Frees a plan that was in force until now, after a grace period.
    pub(super) fn retire(&self, number: u32, allocator: &mut Allocator) {
        for (kind, start, length) in self.ranges(number) {
            allocator.retire(kind, start, length);
        }
    }

    /// The ranges that a plan takes up; none of plan 0.
    fn ranges(&self, number: u32) -> impl Iterator<Item = (MapKind, u32, u32)> {
        self.plan(number).into_iter().flat_map(move |plan| {
            let tree = plan.tree();
            [
                (MapKind::Members, plan.members, plan.member_count),
                (MapKind::Slots, plan.slots, plan.slot_count),
                (
                    MapKind::TreeNodes,
                    plan.slots,
                    tree.map_or(0, TreeShape::nodes),
                ),
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

/// Nodes of the tree that a plan is to have; 0: none.
fn nodes(plan: &Plan) -> u32 {
    let members = plan.member_count;
    if !Pick::from_raw(plan.pick).is_best() || members < TreeShape::MIN_MEMBERS {
        return 0;
    }
    TreeShape { root: 0, members }.nodes()
}

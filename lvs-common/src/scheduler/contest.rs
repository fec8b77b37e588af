//! A contest: the best of some members, or of the best ones below some nodes of a tree.

use super::Search;
use super::measure::{Weighed, weigh};
use crate::abi::TreeNode;
use crate::tables::Tables;
use crate::walk::Step;

/// The kind of the entries that a contest compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contenders {
    /// Members, by their places.
    Members,
    /// The best members of nodes.
    Nodes,
}

/// Leaves the best of these members or nodes in the search.
#[inline(always)]
pub(super) fn contest<T: Tables>(
    tables: T,
    search: &mut Search,
    of: Contenders,
    first: u32,
    count: u32,
) {
    search.forget_best();
    search.of = of;
    (search.first_contender, search.contenders) = (first, count);
    tables.walk(count.div_ceil(ROUND), &mut Contest { tables, search });
}

/// A walk over members, or over the best ones of nodes, a round each step.
struct Contest<'a, T> {
    tables: T,
    search: &'a mut Search,
}

/// So many are compared in each step, which costs a third of a comparison. More take a verifier too long.
const ROUND: u32 = 2;

impl<T: Tables> Step for Contest<'_, T> {
    #[inline(always)]
    fn step(&mut self, turn: u32) -> bool {
        let first = turn.wrapping_mul(ROUND);
        self.compare(first) && self.compare(first.wrapping_add(1))
    }
}

impl<T: Tables> Contest<'_, T> {
    /// Compares one with the best so far; returns whether another one can be better.
    #[inline(always)]
    fn compare(&mut self, turn: u32) -> bool {
        if turn >= self.search.contenders {
            return false;
        }
        let number = self.search.first_contender.wrapping_add(turn);
        let place = match self.search.of {
            Contenders::Members => number,
            Contenders::Nodes => best_below(self.tables, number),
        };
        weigh(self.tables, self.search, place) != Weighed::Best
    }
}

/// The place of the best member below a branch or group, as far as it is worked out. That of no member if there is
/// none.
#[inline(always)]
fn best_below<T: Tables>(tables: T, node: u32) -> u32 {
    let best = tables.tree_best(node) & TreeNode::place(tables.has_long_indexes());
    best.wrapping_sub(1)
}

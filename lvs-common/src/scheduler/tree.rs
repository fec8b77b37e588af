//! Least connections among many servers: a tournament tree, in which a change of a server's load makes the nodes above
//! it stale, and the next connection works out those anew.
//!
//! ```text
//!                 root            stale: which branches
//!            ┌─────┴─────┐
//!         branch      branch      best member below; stale: which groups
//!        ┌───┴───┐   ┌───┴───┐
//!      group   group … group      best of its eight members
//! ```
//!
//! The answer is that of a walk over all members: of equals the first one wins in each node as it does in the list.
//! Comparisons read the current loads; a node remembers a member only.
//!
//! Races. A change of a load comes before its marks, each mark is a full barrier, and a mark is cleared before the
//! loads below are read: so a load that was read too early leaves a mark behind. Of two CPUs that work out one node at
//! once either may have the newer loads. Answers are counted, and each expects the count from before it read: the
//! slower one does not write, and reads the loads again instead. The branch is marked before the root, and the root is
//! cleared before its branches are asked: a mark in a branch that the root does not show is about to be shown. While
//! one CPU works out a new tree, others read the member that its nodes began with ([`TreeNode::of_new_tree`]).

use super::{NO_SERVER, Search, Weighed, weigh};
use crate::abi::{Plan, TreeNode, TreeShape};
use crate::tables::Tables;
use crate::walk::Step;

/// The place of the best member.
#[inline(never)]
pub(super) fn pick<T: Tables>(tables: T, plan: &Plan, search: &mut Search) -> Option<u32> {
    let shape = TreeShape {
        root: plan.slots,
        members: plan.member_count,
    };
    let (groups, branches) = (shape.groups(), shape.branches());
    // For each branch: taking it up, its groups, itself.
    let most = branches * 2 + groups + 1 + RETRIES;
    tables.walk(
        most,
        &mut Refresh {
            tables,
            plan,
            search,
            member: plan.members,
            members: plan.member_count,
            branch_node: shape.branch(0),
            group_node: shape.group(0),
            groups,
            branches: tables.take_stale(shape.root) & first_bits(branches),
            branch: NONE,
            stale: 0,
        },
    );
    contest(tables, plan, search, Of::Nodes, shape.branch(0), branches);
    search.best.checked_sub(1)
}

/// So many bits. A mark by the daemon may come late, and be another tree's bit.
#[inline(always)]
const fn first_bits(count: u32) -> u32 {
    (1 << (count & 31)) - 1
}

/// Times that other CPUs may be faster in one search. With every further one a mark is lost, until a load below its
/// node changes.
const RETRIES: u32 = 64;

/// No branch.
const NONE: u32 = u32::MAX;

/// Leaves the best of these members or nodes in the search.
#[inline(always)]
fn contest<T: Tables>(tables: T, plan: &Plan, search: &mut Search, of: Of, first: u32, count: u32) {
    search.best = 0;
    tables.walk(
        count,
        &mut Contest {
            tables,
            plan,
            search,
            first,
            of,
        },
    );
}

/// Works out the stale nodes, a node each step. (A verifier wants two words that are written as one to be aligned,
/// and a callback has little stack: what it needs is here.)
#[repr(C, align(8))]
struct Refresh<'a, T> {
    tables: T,
    plan: &'a Plan,
    search: &'a mut Search,
    /// Place of the first member, and number of members.
    member: u32,
    members: u32,
    /// Nodes of the first branch and of the first group, and number of groups.
    branch_node: u32,
    group_node: u32,
    groups: u32,
    /// Bits of the branches that are to be taken up.
    branches: u32,
    /// The branch at hand, and the bits of its groups that are to be worked out.
    branch: u32,
    stale: u32,
}

impl<T: Tables> Refresh<'_, T> {
    /// Takes up the next stale branch; false if there is none.
    #[inline(always)]
    fn next_branch(&mut self) -> bool {
        if self.branches == 0 {
            return false;
        }
        let branch = self.branches.trailing_zeros();
        self.branches &= self.branches.wrapping_sub(1);
        self.branch = branch;
        let left = self
            .groups
            .saturating_sub(branch.wrapping_mul(TreeShape::FORK));
        let valid = first_bits(left.min(TreeShape::FORK));
        self.stale = self
            .tables
            .take_stale(self.branch_node.wrapping_add(branch))
            & valid;
        true
    }

    /// Leaves the node at hand behind.
    #[inline(always)]
    fn done(&mut self) {
        if self.stale == 0 {
            self.branch = NONE;
        }
        self.stale &= self.stale.wrapping_sub(1);
    }
}

impl<T: Tables> Step for Refresh<'_, T> {
    #[inline(always)]
    fn step(&mut self, _: u32) -> bool {
        let (of, node, first, left);
        if self.stale != 0 {
            let group = self
                .branch
                .wrapping_mul(TreeShape::FORK)
                .wrapping_add(self.stale.trailing_zeros());
            let position = group.wrapping_mul(TreeShape::FORK);
            of = Of::Members;
            node = self.group_node.wrapping_add(group);
            first = self.member.wrapping_add(position);
            left = self.members.saturating_sub(position);
        } else if self.branch != NONE {
            let group = self.branch.wrapping_mul(TreeShape::FORK);
            of = Of::Nodes;
            node = self.branch_node.wrapping_add(self.branch);
            first = self.group_node.wrapping_add(group);
            left = self.groups.saturating_sub(group);
        } else {
            return self.next_branch();
        }
        let before = self.tables.tree_best(node);
        contest(
            self.tables,
            self.plan,
            self.search,
            of,
            first,
            left.min(TreeShape::FORK),
        );
        let place = TreeNode::place(self.tables.has_long_indexes());
        let counted = (before | place).wrapping_add(1);
        let answer = counted | self.search.best & place;
        if self.tables.exchange_tree_best(node, before, answer) {
            self.done();
        }
        true
    }
}

/// The kind of the entries that a contest compares.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Members,
    Nodes,
}

/// A walk over members, or over the best ones of nodes.
#[repr(C, align(8))]
struct Contest<'a, T> {
    tables: T,
    plan: &'a Plan,
    search: &'a mut Search,
    first: u32,
    of: Of,
}

impl<T: Tables> Step for Contest<'_, T> {
    #[inline(always)]
    fn step(&mut self, turn: u32) -> bool {
        let number = self.first.wrapping_add(turn);
        let place = match self.of {
            Of::Members => number,
            Of::Nodes => {
                let places = TreeNode::place(self.tables.has_long_indexes());
                match self.tables.tree_best(number) & places {
                    0 => return true,
                    best => best.wrapping_sub(1),
                }
            }
        };
        weigh(self.tables, self.plan, self.search, place) != Weighed::Best
    }
}

/// Returns whether the tree of a plan by which the best of all is picked is searched: not where a server is to be
/// avoided, since the tree knows the best only.
#[inline(always)]
pub(super) fn serves(plan: &Plan, search: &Search) -> bool {
    plan.slots != 0 && search.avoid == NO_SERVER
}

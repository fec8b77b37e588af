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

use super::Search;
use super::contest::{Contenders, contest};
use crate::abi::{Plan, TreeNode, TreeShape};
use crate::tables::Tables;
use crate::walk::Step;

/// Works out the branches that may have another best member than they say; returns the first one, and how many there
/// are.
#[inline(always)]
pub(super) fn refresh<T: Tables>(tables: T, plan: &Plan, search: &mut Search) -> (u32, u32) {
    let shape = TreeShape {
        root: plan.slots,
        members: plan.member_count,
    };
    let tree = &mut search.tree;
    *tree = TreeSearch {
        member: plan.members,
        members: plan.member_count,
        branch_node: shape.branch(0),
        group_node: shape.group(0),
        groups: shape.groups(),
        branches: 0,
        branch: NONE,
        stale: 0,
    };
    // The stack is short here: from now on the numbers are read from memory.
    tree.branches = tables.take_stale(shape.root) & first_bits(tree.branch_count());
    if tree.is_stale() {
        let most = tree.groups + tree.branch_count() + RETRIES;
        tables.walk(most, &mut Refresh { tables, search });
    }
    (search.tree.branch_node, search.tree.branch_count())
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

/// State of the search in a tree, beside that of a contest, which [`Search`] has; in memory for the same reason.
#[derive(Clone, Copy, Debug)]
pub(super) struct TreeSearch {
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

impl TreeSearch {
    pub(super) const NONE: Self = Self {
        member: 0,
        members: 0,
        branch_node: 0,
        group_node: 0,
        groups: 0,
        branches: 0,
        branch: NONE,
        stale: 0,
    };

    /// Number of branches.
    #[inline(always)]
    const fn branch_count(&self) -> u32 {
        self.group_node.wrapping_sub(self.branch_node)
    }

    /// Returns whether there is a node left that is to be worked out.
    #[inline(always)]
    const fn is_stale(&self) -> bool {
        self.branch != NONE || self.branches != 0
    }

    /// Takes up the next branch.
    #[inline(always)]
    fn next_branch<T: Tables>(&mut self, tables: T) {
        let branch = self.branches.trailing_zeros();
        self.branches &= self.branches.wrapping_sub(1);
        self.branch = branch;
        let left = self
            .groups
            .saturating_sub(branch.wrapping_mul(TreeShape::FORK));
        let valid = first_bits(left.min(TreeShape::FORK));
        self.stale = tables.take_stale(self.branch_node.wrapping_add(branch)) & valid;
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

/// A walk over the stale nodes, which works out one each step.
struct Refresh<'a, T> {
    tables: T,
    search: &'a mut Search,
}

impl<T: Tables> Step for Refresh<'_, T> {
    #[inline(always)]
    fn step(&mut self, _: u32) -> bool {
        let tree = &mut self.search.tree;
        if tree.branch == NONE {
            tree.next_branch(self.tables);
        }
        let (of, node, first, left);
        if tree.stale != 0 {
            let group = tree
                .branch
                .wrapping_mul(TreeShape::FORK)
                .wrapping_add(tree.stale.trailing_zeros());
            let position = group.wrapping_mul(TreeShape::FORK);
            of = Contenders::Members;
            node = tree.group_node.wrapping_add(group);
            first = tree.member.wrapping_add(position);
            left = tree.members.saturating_sub(position);
        } else {
            let group = tree.branch.wrapping_mul(TreeShape::FORK);
            of = Contenders::Nodes;
            node = tree.branch_node.wrapping_add(tree.branch);
            first = tree.group_node.wrapping_add(group);
            left = tree.groups.saturating_sub(group);
        }
        let before = self.tables.tree_best(node);
        let count = left.min(TreeShape::FORK);
        contest(self.tables, self.search, of, first, count);
        let place = TreeNode::place(self.tables.has_long_indexes());
        let counted = (before | place).wrapping_add(1);
        let answer = counted | self.search.best & place;
        if self.tables.exchange_tree_best(node, before, answer) {
            self.search.tree.done();
        }
        self.search.tree.is_stale()
    }
}

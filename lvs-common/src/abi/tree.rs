//! The tournament tree of a virtual service with many real servers: who has the least connections.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::limits::{MAX_MEMBERS_PER_SERVICE, MAX_SERVERS, MEMBERS_PER_SERVER, SHORT_INDEXES};
use super::member::Member;

/// A node: the root, a branch of [`TreeShape::FORK`] groups, or a group of as many members.
///
/// A plan's nodes lie in a row: the root, its branches, all groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TreeNode {
    /// Place in the table of members of the best one below, plus one, in the bits of [`TreeNode::place`]; 0: none is
    /// known. The bits above count the answers. Not of the root.
    pub best: u32,
    /// Bits of the nodes right below whose best may be another one now. Not of a group.
    pub stale: u32,
}

impl TreeNode {
    /// A node of a new tree over these members, the first of which is at this place: all below it is stale. Until
    /// somebody has worked it out, a member that takes connections stands for the best one.
    #[must_use]
    pub fn of_new_tree(place: u32, members: &[Member]) -> Self {
        let with_weight = || {
            (place..)
                .zip(members)
                .filter(|(_, member)| member.weight != 0)
        };
        let any = with_weight()
            .find(|(_, member)| member.upper == 0)
            .or_else(|| with_weight().next());
        Self {
            best: any.map_or(0, |(place, _)| place + 1),
            stale: u32::MAX,
        }
    }

    /// Bits of `best` that are a place: a few more where server indexes are long, see [`crate::connection::Record`].
    #[inline(always)]
    pub const fn place(long: bool) -> u32 {
        if long { (1 << 20) - 1 } else { (1 << 18) - 1 }
    }
}

/// The numbers of the nodes of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeShape {
    /// Number of the root.
    pub root: u32,
    /// Members below it.
    pub members: u32,
}

impl TreeShape {
    /// Groups of a branch, and members of a group.
    pub const FORK: u32 = 8;
    /// Fewer members than this are searched one after the other, which is cheaper.
    pub const MIN_MEMBERS: u32 = 25;

    /// Number of groups.
    pub const fn groups(self) -> u32 {
        self.members.div_ceil(Self::FORK)
    }

    /// Number of branches.
    pub const fn branches(self) -> u32 {
        self.groups().div_ceil(Self::FORK)
    }

    /// Number of nodes.
    pub const fn nodes(self) -> u32 {
        1 + self.branches() + self.groups()
    }

    /// The node of a branch.
    pub const fn branch(self, branch: u32) -> u32 {
        self.root.wrapping_add(1).wrapping_add(branch)
    }

    /// The node of a group, counted through all branches.
    pub const fn group(self, group: u32) -> u32 {
        self.branch(self.branches()).wrapping_add(group)
    }
}

const _: () = assert!(MEMBERS_PER_SERVER * SHORT_INDEXES < TreeNode::place(false));
const _: () = assert!(MEMBERS_PER_SERVER * MAX_SERVERS < TreeNode::place(true));
// The branches of a root, and the groups of a branch, are bits of a word.
const _: () = assert!(MAX_MEMBERS_PER_SERVICE < 32 * TreeShape::FORK * TreeShape::FORK);

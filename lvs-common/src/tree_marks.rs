//! The marks of stale nodes: set where a load changes, cleared where the tree is searched.

use crate::abi::TreeShape;

/// Marks in the nodes of trees.
pub trait TreeMarks: Copy {
    /// Sets a bit of a node's `stale`, if it is not set. A full barrier comes before.
    fn mark(self, node: u32, bit: u32);
}

/// Marks the nodes above a member whose load changed.
#[inline(always)]
pub fn load_changed<M: TreeMarks>(marks: M, root: u32, position: u32) {
    let group = position / TreeShape::FORK;
    let branch = group / TreeShape::FORK;
    marks.mark(
        root.wrapping_add(1).wrapping_add(branch),
        1 << (group % TreeShape::FORK),
    );
    marks.mark(root, 1 << (branch & 31));
}

//! The connections of real servers, their services, and the tournament trees that follow them.

use std::mem::offset_of;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use lvs_common::abi::{Load, Marked, SHORT_INDEXES, Server, TreeNode};
use lvs_common::connection::Servers;
use lvs_common::tree_marks::{TreeMarks, load_changed};

use super::mapping::Mapping;

/// The loads by server index, with the trees that a change of them makes stale.
pub struct ServerLoads {
    loads: Mapping<Load>,
    nodes: Mapping<TreeNode>,
    servers: Mapping<Server>,
}

impl ServerLoads {
    pub(super) const fn new(
        loads: Mapping<Load>,
        nodes: Mapping<TreeNode>,
        servers: Mapping<Server>,
    ) -> Self {
        Self {
            loads,
            nodes,
            servers,
        }
    }

    /// Loads of so many servers without connections that are in no tree, for tests.
    #[cfg(any(test, feature = "testing"))]
    pub fn zeroed(servers: u32) -> Self {
        Self::new(
            Mapping::zeroed(servers),
            Mapping::zeroed(1),
            Mapping::zeroed(servers),
        )
    }

    /// Makes a server one of a service's, for tests.
    #[cfg(any(test, feature = "testing"))]
    pub fn assign(&self, server: u32, service: u32) {
        use zerocopy::FromZeros as _;
        let record = Server {
            service,
            ..Server::new_zeroed()
        };
        self.servers.write(server, record);
    }

    /// Number of servers there is room for.
    pub const fn len(&self) -> u32 {
        self.loads.len()
    }

    /// True if there is room for none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of nodes there is room for.
    pub const fn nodes(&self) -> u32 {
        self.nodes.len()
    }

    /// The load of a server.
    pub fn read(&self, server: u32) -> Option<Load> {
        self.loads.read(server)
    }

    /// Replaces the load of a server that is in no tree.
    pub fn write(&self, server: u32, load: Load) {
        self.loads.write(server, load);
    }

    /// [`Load::counts`] of a server.
    pub fn counts(&self, server: u32) -> Option<&AtomicU64> {
        self.loads.double_word(server, offset_of!(Load, counts))
    }

    /// [`Load::templates`] of a server.
    pub fn templates(&self, server: u32) -> Option<&AtomicU32> {
        self.loads.word(server, offset_of!(Load, templates))
    }

    /// Adds to a server's [`Load::counts`].
    pub fn account(&self, server: u32, change: u64) {
        if let Some(counts) = self.counts(server) {
            counts.fetch_add(change, Ordering::Relaxed);
            self.changed(server);
        }
    }

    /// Marks a server overloaded, or not any more until found so again.
    pub fn mark_overloaded(&self, server: u32, overloaded: bool) {
        if let Some(word) = self.loads.word(server, offset_of!(Load, overloaded)) {
            word.store(overloaded.into(), Ordering::Relaxed);
            self.changed(server);
        }
    }

    /// Makes the nodes above a server stale.
    fn changed(&self, server: u32) {
        let tree = self.loads.word(server, offset_of!(Load, tree));
        let position = self.loads.word(server, offset_of!(Load, position));
        if let (Some(tree), Some(position)) = (tree, position) {
            let root = tree.load(Ordering::Relaxed);
            if root != 0 {
                load_changed(self, root, position.load(Ordering::Relaxed));
            }
        }
    }

    /// Puts a server into a tree; root 0: into none. Between two trees it is in none, so that no mark of one is set in
    /// the other.
    pub fn set_leaf(&self, server: u32, root: u32, position: u32) {
        let tree = self.loads.word(server, offset_of!(Load, tree));
        let place = self.loads.word(server, offset_of!(Load, position));
        if let (Some(tree), Some(place)) = (tree, place) {
            tree.store(0, Ordering::SeqCst);
            place.store(position, Ordering::SeqCst);
            tree.store(root, Ordering::SeqCst);
        }
    }

    /// Writes a node of a tree that nobody searches yet.
    pub fn write_node(&self, number: u32, node: TreeNode) {
        self.nodes.write(number, node);
    }
}

impl Servers for &ServerLoads {
    fn has_long_indexes(self) -> bool {
        self.len() > SHORT_INDEXES
    }

    fn service_of_server(self, server: u32) -> u32 {
        let server = self.servers.read(server);
        server.map_or(Marked::NO_SERVICE, |server| server.service)
    }
}

impl TreeMarks for &ServerLoads {
    fn mark(self, node: u32, bit: u32) {
        // The change of the load comes first.
        fence(Ordering::SeqCst);
        if let Some(stale) = self.nodes.word(node, offset_of!(TreeNode, stale)) {
            stale.fetch_or(bit, Ordering::SeqCst);
        }
    }
}

//! The service path: how a probe gets to a virtual address by way of one real server, as packets of
//! clients do.
//!
//! The director often has the virtual address itself, and its kernel would answer such a probe without
//! asking anybody. So these probes have a network stack of their own, in a namespace that knows no
//! addresses. For each probe there is an entry in a table of the data path ([`ProbeEntry`]) that says by
//! which server its packets go, known by its port. A program on the veth pair to the namespace sends them
//! there, with the server's Ethernet address or in a tunnel; the director's program recognizes the answers
//! among all that arrives and hands them in. See [`lvs_common::probe`].
//!
//! - `path`: the sockets, and the entries that go with them.
//! - `namespace`: the thread in the namespace.
//! - `veth`: the interfaces between the namespace and the director.

mod namespace;
mod path;
mod veth;

pub use namespace::Namespace;
pub use path::{ProbeEntry, ProbePath, ServicePath, Unavailable};
pub use veth::is_probe_veth;

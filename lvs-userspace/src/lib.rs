//! The director's user space: the daemon `lvsd` and `lvsadm`, its `ipvsadm`.

pub mod control;
pub mod model;
pub mod neighbour;

//! Measures the packet path with the real program in this kernel.

pub mod case;
pub mod frame;
pub mod live;
pub mod report;
pub mod rig;

//! `ldirectord.cf`: the file of the controller.

mod model;

pub use self::model::{
    Alerts, Configuration, Fallback, Globals, OnDown, Quorum, RealServer, Rhythm, Virtual, Weighing,
};

//! Packets that the program recorded, for those who trace: what they were (`frame`, `facts`), and whether somebody asks
//! for them (`filter`, in tcpdump's words). The program judges by `terms` at a glance, this module looks closer.

mod expression;
mod facts;
mod filter;
mod flow;
mod interface_names;
mod parse;
mod terms;

pub use self::facts::{Facts, traced};
pub use self::filter::Filter;
pub use self::interface_names::InterfaceNames;
pub use self::parse::FilterError;
pub use self::terms::{ServiceAddresses, program_filter};

//! Whether real servers are well: what is asked of them, how, and what follows from the answers.

pub mod check;
pub mod outcome;
pub mod pattern;
pub mod probe;

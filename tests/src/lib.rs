//! The lab, and what the tests that run in it share.

pub mod lab;

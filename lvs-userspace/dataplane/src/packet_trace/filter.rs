//! Filters of packets.

use std::str::FromStr;

use super::expression::Test;
use super::facts::Facts;
use super::parse::{FilterError, parse};

/// A filter as somebody wrote it, in tcpdump's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter(pub(super) Test);

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        parse(text).map(Self)
    }
}

impl Filter {
    /// Returns whether a packet is asked for.
    pub fn matches(&self, facts: &Facts) -> bool {
        self.0.matches(facts)
    }
}

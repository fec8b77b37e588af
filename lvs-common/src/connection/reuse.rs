//! The states of TCP connections in which a SYN begins another one (`conn_reuse_mode` of IPVS).

use super::tcp;
use crate::abi::Config;

impl Config {
    /// The states in which a SYN begins another connection with `conn_reuse_mode` 1.
    pub const REUSED: u32 = {
        let ended = 1 << tcp::State::TimeWait as u32 | 1 << tcp::State::Close as u32;
        ended << 8 | ended << 16
    };

    /// The bits of [`Config::REUSE`] for a `conn_reuse_mode`.
    pub const fn reuse(mode: u64) -> u32 {
        let fin_wait = 1 << (16 + tcp::State::FinWait as u32);
        match mode {
            0 => Self::REUSED,
            mode if mode & 2 != 0 => fin_wait,
            _ => 0,
        }
    }

    /// Returns whether a SYN begins another connection where there is one in this state. It is asked for each SYN of a
    /// known connection, and has no branch, as each doubles what a verifier walks through.
    #[inline(always)]
    pub const fn reuses(options: u32, state: tcp::State, by_nat: bool) -> bool {
        let shift = state as u32 + if by_nat { 8 } else { 16 };
        (options ^ Self::REUSED) >> (shift & 31) & 1 != 0
    }
}

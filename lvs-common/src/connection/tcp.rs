//! The TCP state tables of IPVS (`ip_vs_proto_tcp.c: tcp_states`), and nothing else.

/// IPVS's view of a TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are RFC 9293's and IPVS's own")]
pub enum State {
    None = 0,
    Established = 1,
    SynSent = 2,
    SynReceived = 3,
    FinWait = 4,
    TimeWait = 5,
    Close = 6,
    CloseWait = 7,
    LastAck = 8,
    Listen = 9,
    SynAck = 10,
}

use State::{
    Close as CL, CloseWait as CW, Established as ES, FinWait as FW, LastAck as LA, Listen as LI,
    None as NO, SynAck as SA, SynReceived as SR, SynSent as SS, TimeWait as TW,
};

impl State {
    /// All states, in the order of their numbers.
    pub const ALL: [Self; 11] = [NO, ES, SS, SR, FW, TW, CL, CW, LA, LI, SA];

    /// Total: what no writer writes is [`State::None`].
    pub const fn from_raw(raw: u8) -> Self {
        match raw {
            1 => ES,
            2 => SS,
            3 => SR,
            4 => FW,
            5 => TW,
            6 => CL,
            7 => CW,
            8 => LA,
            9 => LI,
            10 => SA,
            _ => NO,
        }
    }

    /// As `ipvsadm -Lc` prints it.
    pub const fn name(self) -> &'static str {
        match self {
            NO => "NONE",
            ES => "ESTABLISHED",
            SS => "SYN_SENT",
            SR => "SYN_RECV",
            FW => "FIN_WAIT",
            TW => "TIME_WAIT",
            CL => "CLOSE",
            CW => "CLOSE_WAIT",
            LA => "LAST_ACK",
            LI => "LISTEN",
            SA => "SYNACK",
        }
    }

    /// Counted as active (`tcp_state_active_table`).
    pub const fn active(self) -> bool {
        matches!(self, ES | SS | SR | SA)
    }

    /// One end has closed it, or reset it.
    #[inline(always)]
    pub const fn closing(self) -> bool {
        matches!(self, FW | TW | CL | CW | LA)
    }

    /// May be recycled when a set of the table is short of room.
    pub const fn half_open(self) -> bool {
        matches!(self, NO | SS | SR | SA | LI)
    }
}

/// The event of a segment, by IPVS's precedence: RST, SYN, FIN, ACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "flags of the TCP header")]
pub enum Event {
    Syn = 0,
    Fin = 1,
    Ack = 2,
    Rst = 3,
}

pub(crate) const FLAG_FIN: u8 = 0x01;
const FLAG_SYN: u8 = 0x02;
pub(crate) const FLAG_RST: u8 = 0x04;
pub(crate) const FLAG_ACK: u8 = 0x10;

impl Event {
    /// The event of a TCP header's flags; a segment without any of them is none.
    #[inline(always)]
    pub const fn from_flags(flags: u8) -> Option<Self> {
        if flags & FLAG_RST != 0 {
            Some(Self::Rst)
        } else if flags & FLAG_SYN != 0 {
            Some(Self::Syn)
        } else if flags & FLAG_FIN != 0 {
            Some(Self::Fin)
        } else if flags & FLAG_ACK != 0 {
            Some(Self::Ack)
        } else {
            None
        }
    }
}

/// Rows of sixteen, one per direction and event; columns are the current state.
#[rustfmt::skip]
const NEXT: [[State; 16]; 12] = [
    // Input      NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA
    /* syn */   [SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR, NO, NO, NO, NO, NO],
    /* fin */   [CL, CW, SS, TW, TW, TW, CL, CW, LA, LI, TW, NO, NO, NO, NO, NO],
    /* ack */   [ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES, NO, NO, NO, NO, NO],
    /* rst */   [CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, SR, NO, NO, NO, NO, NO],
    // Output
    /* syn */   [SS, ES, SS, SR, SS, SS, SS, SS, SS, LI, SR, NO, NO, NO, NO, NO],
    /* fin */   [TW, FW, SS, TW, FW, TW, CL, TW, LA, LI, TW, NO, NO, NO, NO, NO],
    /* ack */   [ES, ES, SS, ES, FW, TW, CL, CW, LA, ES, ES, NO, NO, NO, NO, NO],
    /* rst */   [CL, CL, SS, CL, CL, TW, CL, CL, CL, CL, CL, NO, NO, NO, NO, NO],
    // InputOnly
    /* syn */   [SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR, NO, NO, NO, NO, NO],
    /* fin */   [CL, FW, SS, TW, FW, TW, CL, CW, LA, LI, TW, NO, NO, NO, NO, NO],
    /* ack */   [ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES, NO, NO, NO, NO, NO],
    /* rst */   [CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL, NO, NO, NO, NO, NO],
];

/// The tables as the program reads them: one array, four bits of state, two of event, two of
/// direction.
static FLAT: [u8; 256] = {
    let mut flat = [0; 256];
    let mut index = 0;
    while index < 192 {
        #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
        {
            flat[index] = NEXT[index / 16][index % 16] as u8;
        }
        index += 1;
    }
    flat
};

/// The state after a segment.
#[inline(always)]
pub fn next(direction: super::direction::Direction, event: Event, state: u8) -> u8 {
    let index = (direction as usize) << 6 | (event as usize) << 4 | usize::from(state & 15);
    FLAT.get(index & 255).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_flags_the_first_of_rst_syn_fin_and_ack_is_the_event() {
        for flags in 0..=u8::MAX {
            let order = [
                (FLAG_RST, Event::Rst),
                (FLAG_SYN, Event::Syn),
                (FLAG_FIN, Event::Fin),
                (FLAG_ACK, Event::Ack),
            ];
            let first = order.iter().find(|(flag, _)| flags & flag != 0);
            assert_eq!(Event::from_flags(flags), first.map(|&(_, event)| event));
        }
    }
}

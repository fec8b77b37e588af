//! Messages about what a director has, inside of those that replication carries.

use lvs_api::model::ServiceId;
use serde::{Deserialize, Serialize};

/// Bytes of lines in one message: with what JSON adds, less than the longest message.
const PART: usize = 30_000;
/// Parts that are sent at most: the queue of a peer takes some more messages.
const PARTS: usize = 40;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Part {
    Summary(Summary),
    Lines(Listing),
}

/// Everything in short; sent whenever it changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// Of the sender's lines.
    pub(crate) digest: String,
    /// Connections of the receiver that the sender lacks.
    pub(crate) not_taken: u64,
    /// Services of which the sender reaches no real server.
    pub(crate) unreached: Vec<ServiceId>,
    /// Of the receiver's, those of which the sender reaches one.
    pub(crate) reached: Vec<ServiceId>,
    /// True if all interfaces of the sender's virtual addresses have a carrier; none: it has no virtual addresses, or
    /// is an older lvsd, which does not send it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) carrier: Option<bool>,
}

/// A part of the sender's lines, which are sorted; sent to one who has others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listing {
    pub(crate) digest: String,
    /// It is the first part.
    pub(crate) first: bool,
    pub(crate) lines: Vec<String>,
    /// It is the last part, and nothing was left out.
    pub(crate) complete: bool,
}

/// Sorted lines as parts that fit into messages. Of very many the last are left out.
pub(crate) fn parts<'a>(digest: &str, lines: impl Iterator<Item = &'a String>) -> Vec<Listing> {
    let part = |first| Listing {
        digest: digest.to_owned(),
        first,
        lines: Vec::new(),
        complete: false,
    };
    let (mut parts, mut last, mut room) = (Vec::new(), part(true), PART);
    for line in lines {
        // A line of more than that is none of ipvsadm's; quoting doubles it at most.
        if line.len() > room && !last.lines.is_empty() {
            parts.push(std::mem::replace(&mut last, part(false)));
            room = PART;
            if parts.len() == PARTS {
                return parts;
            }
        }
        room = room.saturating_sub(line.len());
        last.lines.push(line.clone());
    }
    last.complete = true;
    parts.push(last);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_parted_in_order_and_the_end_is_known() {
        let few = ["a".to_owned(), "b".to_owned()];
        let one = parts("x", few.iter());
        assert_eq!((one.len(), one[0].first, one[0].complete), (1, true, true));
        assert_eq!(parts("x", [].iter()).len(), 1);

        let lines: Vec<_> = (0..1_000).map(|number| format!("{number:0100}")).collect();
        let many = parts("x", lines.iter());
        assert_eq!(many.len(), 4);
        let whole: Vec<_> = many.iter().flat_map(|part| part.lines.clone()).collect();
        assert_eq!(whole, lines);
        let flags: Vec<_> = many
            .iter()
            .map(|part| (part.first, part.complete))
            .collect();
        assert_eq!(
            flags,
            [(true, false), (false, false), (false, false), (false, true)]
        );

        let lines: Vec<_> = (0..100_000)
            .map(|number| format!("{number:0100}"))
            .collect();
        let too_many = parts("x", lines.iter());
        assert_eq!(too_many.len(), PARTS);
        assert!(too_many.iter().all(|part| !part.complete));
    }
}

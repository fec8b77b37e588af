//! The servers of a virtual service that get traffic. Pure.
//!
//! Servers that are up serve. While none is, backup servers do; while none of these is up either, the
//! fallback servers do, never sooner, unless a quorum says how many servers it takes. Before the first
//! outcome of a server that might serve, nothing of this changes: a start does not send clients to the
//! fallback for the time of one probe.

use crate::model::Quorum;

/// A real server as the pool sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its state, overrides included.
    pub(crate) state: MemberState,
    /// Used only while no other server is up.
    pub(crate) backup: bool,
    /// Its weight when it serves.
    pub(crate) weight: u32,
}

/// State of a member, with the operator's overrides applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemberState {
    /// No probe has answered yet.
    Unknown,
    /// Up.
    Up,
    /// Up, but drained: it gets no new connections.
    Drain,
    /// Down, or taken out.
    Out,
}

/// The part of a member in the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// New connections are scheduled to it.
    Serves,
    /// It keeps its connections and gets no new ones.
    StandsBy,
    /// Undecided until its first outcome: nothing changes.
    Waits,
    /// It is down, or taken out.
    Out,
}

/// The rules by which members are selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules<'a> {
    /// All backup servers at once.
    pub(crate) all_backups: bool,
    /// The service has fallback servers.
    pub(crate) fallbacks: bool,
    /// The weight that has to be up.
    pub(crate) quorum: &'a Quorum,
}

/// State of a virtual service as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pool {
    /// The fallback servers are in use.
    pub(crate) fallback: bool,
    /// No server serves, not even a fallback server.
    pub(crate) empty: bool,
    /// State of the quorum: reached or not; none: none is configured, or it is undecided yet.
    pub(crate) quorum: Option<bool>,
}

impl Pool {
    /// Returns whether no real server gets traffic.
    pub(crate) const fn out_of_service(self) -> bool {
        self.fallback || self.empty
    }

    /// Selects the members that serve, in the order of `members`, and updates fallback and quorum.
    pub(crate) fn select(&mut self, rules: &Rules<'_>, members: &[Member]) -> Vec<Selection> {
        let able = |member: &Member| member.state == MemberState::Up && member.weight > 0;
        let any = |backup| members.iter().any(|m| m.backup == backup && able(m));
        let waiting = |backup| {
            let waits = |m: &Member| m.backup == backup && m.state == MemberState::Unknown;
            members.iter().any(waits)
        };
        let primaries = any(false);
        let backups = !primaries && !waiting(false) && any(true);
        let mut room = if rules.all_backups { usize::MAX } else { 1 };
        let selection = |member: &Member| match member.state {
            MemberState::Unknown => Selection::Waits,
            MemberState::Out => Selection::Out,
            MemberState::Up if able(member) && !member.backup => Selection::Serves,
            MemberState::Up if able(member) && backups && room > 0 => {
                room -= 1;
                Selection::Serves
            }
            MemberState::Up | MemberState::Drain => Selection::StandsBy,
        };
        let mut selections: Vec<Selection> = members.iter().map(selection).collect();
        let before = self.fallback;
        if primaries || backups {
            (self.fallback, self.empty) = (false, false);
        } else if !waiting(false) && !waiting(true) {
            (self.fallback, self.empty) = (rules.fallbacks, !rules.fallbacks);
        } else {
            self.fallback &= rules.fallbacks;
        }
        self.update_quorum(rules.quorum, members, &selections);
        // Too few would only be overrun. Without a fallback they go on: half a service is better than none.
        let short = self.quorum.map_or(before, |there| !there) && rules.quorum.weight > 0;
        if short && rules.fallbacks {
            (self.fallback, self.empty) = (true, false);
            for selection in selections
                .iter_mut()
                .filter(|selection| **selection == Selection::Serves)
            {
                *selection = Selection::StandsBy;
            }
        }
        selections
    }

    /// Keepalived's quorum: gained at `weight + hysteresis`, lost below `weight - hysteresis`. `selections` are
    /// those while the quorum is reached.
    fn update_quorum(&mut self, quorum: &Quorum, members: &[Member], selections: &[Selection]) {
        if quorum.weight == 0 {
            self.quorum = None;
            return;
        }
        let serving = members
            .iter()
            .zip(selections)
            .filter(|(_, selection)| **selection == Selection::Serves);
        let weight: u64 = serving.map(|(member, _)| u64::from(member.weight)).sum();
        let gained = u64::from(quorum.weight) + u64::from(quorum.hysteresis);
        let kept = u64::from(quorum.weight.saturating_sub(quorum.hysteresis)).max(1);
        let undecided = selections.contains(&Selection::Waits);
        self.quorum = match self.quorum {
            Some(true) => Some(weight >= kept),
            Some(false) => Some(weight >= gained),
            None if weight >= gained => Some(true),
            None if undecided => None,
            // The first count has no history that hysteresis could rest on.
            None => Some(weight >= u64::from(quorum.weight)),
        };
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;

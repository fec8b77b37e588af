//! Which servers of a virtual service get traffic. Pure.
//!
//! Servers that are up serve. While none is, backup servers do; while none of these is up either, the
//! fallback servers do, never sooner, unless a quorum says how many servers it takes. Before the first
//! verdict about a server that might serve, nothing of this changes: a start does not send clients to the
//! fallback for the time of one probe.

use crate::model::Quorum;

/// What is known of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Where it stands.
    pub standing: Standing,
    /// Used only while no other server is up.
    pub backup: bool,
    /// Its weight when it serves.
    pub weight: u32,
}

/// Where a server stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No probe has answered yet.
    Unknown,
    /// It may serve.
    Up,
    /// It is up, and the operator wants no new connections to it.
    Drain,
    /// It is down, or taken out.
    Out,
}

/// What a server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// It gets traffic.
    Serves,
    /// It keeps the connections it has.
    StandsBy,
    /// Not known yet: nothing changes.
    Waits,
    /// It has failed, or is taken out.
    Out,
}

/// How the servers of a service are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules<'a> {
    /// All backup servers at once.
    pub all_backups: bool,
    /// There are fallback servers.
    pub fallbacks: bool,
    /// How much weight has to be up.
    pub quorum: &'a Quorum,
}

/// A virtual service's servers together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// The fallback servers are in use.
    pub fallback: bool,
    /// Nobody serves, not even a fallback server.
    pub empty: bool,
    /// Whether there is a quorum; none: nobody asks for one, or it is not known yet.
    pub quorum: Option<bool>,
}

impl Pool {
    /// What each server does from now on; what else changes is in `self`.
    pub fn settle(&mut self, rules: &Rules<'_>, members: &[Member]) -> Vec<Part> {
        let able = |member: &Member| member.standing == Standing::Up && member.weight > 0;
        let any = |backup| members.iter().any(|m| m.backup == backup && able(m));
        let waiting = |backup| {
            let waits = |m: &Member| m.backup == backup && m.standing == Standing::Unknown;
            members.iter().any(waits)
        };
        let primaries = any(false);
        let backups = !primaries && !waiting(false) && any(true);
        let mut room = if rules.all_backups { usize::MAX } else { 1 };
        let part = |member: &Member| match member.standing {
            Standing::Unknown => Part::Waits,
            Standing::Out => Part::Out,
            Standing::Up if able(member) && !member.backup => Part::Serves,
            Standing::Up if able(member) && backups && room > 0 => {
                room -= 1;
                Part::Serves
            }
            Standing::Up | Standing::Drain => Part::StandsBy,
        };
        let mut parts: Vec<Part> = members.iter().map(part).collect();
        let before = self.fallback;
        if primaries || backups {
            (self.fallback, self.empty) = (false, false);
        } else if !waiting(false) && !waiting(true) {
            (self.fallback, self.empty) = (rules.fallbacks, !rules.fallbacks);
        } else {
            self.fallback &= rules.fallbacks;
        }
        self.count(rules.quorum, members, &parts);
        // Too few would only be overrun. Without a fallback they go on: half a service is better than none.
        let short = self.quorum.map_or(before, |there| !there) && rules.quorum.weight > 0;
        if short && rules.fallbacks {
            (self.fallback, self.empty) = (true, false);
            for part in parts.iter_mut().filter(|part| **part == Part::Serves) {
                *part = Part::StandsBy;
            }
        }
        parts
    }

    /// Keepalived's quorum: gained at `weight + hysteresis`, lost below `weight - hysteresis`. `parts` are
    /// what servers do while there is one.
    fn count(&mut self, quorum: &Quorum, members: &[Member], parts: &[Part]) {
        if quorum.weight == 0 {
            self.quorum = None;
            return;
        }
        let serving = members
            .iter()
            .zip(parts)
            .filter(|(_, part)| **part == Part::Serves);
        let weight: u64 = serving.map(|(member, _)| u64::from(member.weight)).sum();
        let gained = u64::from(quorum.weight) + u64::from(quorum.hysteresis);
        let kept = u64::from(quorum.weight.saturating_sub(quorum.hysteresis)).max(1);
        let undecided = parts.contains(&Part::Waits);
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

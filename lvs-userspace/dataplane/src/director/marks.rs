//! Firewall marks without a firewall: netfilter marks packets only after the program has forwarded
//! them, so rules of the director's own say which packets carry which mark.
//!
//! Packets find a mark's service by the key of the rule they match. A record beside it keeps the rule
//! where its mark has no service, and over a restart of the daemon.

use std::collections::HashMap;

use lvs_common::abi::{MAX_RULES, ServiceKey};

use super::{Director, keys};
use crate::kernel::KernelError;
use lvs_api::model::{Family, ServiceId};
use lvs_api::protocol::{MarkRule, Refusal, RefusalKind};

/// Marks by the keys of the packets that carry them.
#[derive(Default)]
pub(super) struct Rules(HashMap<ServiceKey, u32>);

impl Rules {
    /// The rules that give packets this mark.
    fn of(&self, mark: u32, family: Family) -> impl Iterator<Item = ServiceKey> {
        let wanted = keys::number(family);
        self.0
            .iter()
            .filter(move |&(key, given)| *given == mark && key.family == wanted)
            .map(|(key, _)| *key)
    }

    /// Addresses of packets that carry marks.
    pub(super) fn addresses(&self) -> impl Iterator<Item = &lvs_common::abi::Address> {
        self.0.keys().map(|key| &key.address)
    }

    /// Takes the records of rules, and the keys they are found by, out of all keys there are.
    pub(super) fn adopt(found: &mut HashMap<ServiceKey, u32>) -> Self {
        let records: Vec<(ServiceKey, u32)> = found
            .iter()
            .filter(|(key, _)| key.family & ServiceKey::RULE != 0)
            .map(|(key, mark)| (*key, *mark))
            .collect();
        let mut rules = HashMap::new();
        for (record, mark) in records {
            found.remove(&record);
            let key = ServiceKey {
                family: record.family & !ServiceKey::RULE,
                ..record
            };
            found.remove(&key);
            rules.insert(key, mark);
        }
        Self(rules)
    }
}

impl Director {
    /// The rules there are, in the order of addresses.
    pub fn marks(&self) -> Vec<MarkRule> {
        let mut rules: Vec<MarkRule> = self
            .rules
            .0
            .iter()
            .filter_map(|(key, &mark)| match keys::service(key)? {
                ServiceId::Address { protocol, address } => Some(MarkRule {
                    protocol,
                    address,
                    mark,
                }),
                ServiceId::Mark { .. } => None,
            })
            .collect();
        rules.sort_unstable_by_key(|rule| (rule.address, rule.protocol));
        rules
    }

    /// From now on these packets carry a mark; 0: none.
    pub(super) fn set_mark(&mut self, rule: &MarkRule) -> Result<(), Refusal> {
        let id = super::canonical_service(&ServiceId::Address {
            protocol: rule.protocol,
            address: rule.address,
        });
        let key = keys::key(&id);
        if rule.mark == 0 {
            return self.unmark(key);
        }
        if self.find(&id).is_some() {
            return Err(Refusal::new(
                RefusalKind::NotSupported,
                "these packets have a virtual service of their own",
            ));
        }
        if !self.rules.0.contains_key(&key) && self.rules.0.len() >= MAX_RULES as usize {
            return Err(Refusal::no_room(format!(
                "there can be {MAX_RULES} rules for marks at most"
            )));
        }
        self.keys.insert(record(key), rule.mark).map_err(internal)?;
        self.rules.0.insert(key, rule.mark);
        self.set_concern(&key.address);
        self.lead(key).map_err(internal)
    }

    fn unmark(&mut self, key: ServiceKey) -> Result<(), Refusal> {
        if self.rules.0.remove(&key).is_none() {
            return Err(Refusal::new(
                RefusalKind::NoSuchService,
                "these packets carry no mark",
            ));
        }
        // The key first: a record without it is a rule whose mark has no service.
        self.keys.forget(key).map_err(internal)?;
        self.keys.forget(record(key)).map_err(internal)
    }

    /// Why packets of a service to be added would not reach it, if so.
    pub(super) fn check_unmarked(&self, id: &ServiceId) -> Result<(), Refusal> {
        match self.rules.0.get(&keys::key(id)) {
            Some(mark) => Err(Refusal::new(
                RefusalKind::NotSupported,
                format!("packets for it carry the mark {mark}"),
            )),
            None => Ok(()),
        }
    }

    /// Leads the packets that carry a service's mark to it, or no longer.
    pub(super) fn lead_marked(&mut self, id: &ServiceId) -> Result<(), Refusal> {
        let ServiceId::Mark { mark, family } = *id else {
            return Ok(());
        };
        let rules: Vec<ServiceKey> = self.rules.of(mark, family).collect();
        rules
            .into_iter()
            .try_for_each(|key| self.lead(key))
            .map_err(internal)
    }

    /// Leads every marked packet where it belongs: after a daemon that died in the midst of that.
    pub(super) fn lead_all(&mut self) -> Result<(), KernelError> {
        let rules: Vec<ServiceKey> = self.rules.0.keys().copied().collect();
        rules.into_iter().try_for_each(|key| self.lead(key))
    }

    /// Leads the packets of one rule to their mark's service, if there is one.
    fn lead(&mut self, key: ServiceKey) -> Result<(), KernelError> {
        let mark = self.rules.0.get(&key).copied().unwrap_or(0);
        let id = ServiceId::Mark {
            mark,
            family: keys::family_of(&key),
        };
        let index = self.by_id.get(&id).filter(|_| self.find(&id).is_some());
        match index {
            Some(&index) => self.keys.insert(key, index),
            None => self.keys.forget(key),
        }
    }
}

/// The key of a rule's record.
const fn record(key: ServiceKey) -> ServiceKey {
    ServiceKey {
        family: key.family | ServiceKey::RULE,
        ..key
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the form that map_err wants")]
fn internal(error: KernelError) -> Refusal {
    Refusal::new(RefusalKind::Internal, error.to_string())
}

//! Firewall marks without a firewall: netfilter marks packets only after the program has forwarded
//! them, so rules of the director's own say which packets carry which mark.
//!
//! Packets find a mark's service by the key of the rule they match. A record beside it keeps the rule
//! where its mark has no service, and over a restart of the daemon.

use std::collections::HashMap;

use lvs_api::model::{Family, ServiceId};
use lvs_api::protocol::{MarkRule, Refusal, RefusalKind};
use lvs_common::abi::{Address, MAX_RULES, ServiceKey};

use super::keys;
use super::services::Services;
use crate::kernel::{KernelError, ServiceKeys};

/// Marks by the keys of the packets that carry them.
#[derive(Default)]
pub(super) struct Marks(HashMap<ServiceKey, u32>);

impl Marks {
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

    /// The rules there are, in the order of addresses.
    pub(super) fn list(&self) -> Vec<MarkRule> {
        let rules = self
            .0
            .iter()
            .filter_map(|(key, &mark)| match keys::service(key)? {
                ServiceId::Address { protocol, address } => Some(MarkRule {
                    protocol,
                    address,
                    mark,
                }),
                ServiceId::Mark { .. } => None,
            });
        let mut rules: Vec<MarkRule> = rules.collect();
        rules.sort_unstable_by_key(|rule| (rule.address, rule.protocol));
        rules
    }

    /// Addresses of packets that carry marks.
    pub(super) fn addresses(&self) -> impl Iterator<Item = Address> {
        self.0.keys().map(|key| key.address)
    }

    /// Refuses a service that packets with a mark would not reach.
    pub(super) fn check_unmarked(&self, service: &ServiceKey) -> Result<(), Refusal> {
        match self.0.get(service) {
            Some(mark) => Err(Refusal::new(
                RefusalKind::NotSupported,
                format!("packets for it carry the mark {mark}"),
            )),
            None => Ok(()),
        }
    }

    /// Enters a rule, not yet indexed.
    pub(super) fn insert(
        &mut self,
        key: ServiceKey,
        mark: u32,
        keys: &mut ServiceKeys,
    ) -> Result<(), Refusal> {
        if !self.0.contains_key(&key) && self.0.len() >= MAX_RULES as usize {
            return Err(Refusal::no_room(format!(
                "there can be {MAX_RULES} rules for marks at most"
            )));
        }
        keys.insert(record(key), mark)?;
        self.0.insert(key, mark);
        Ok(())
    }

    pub(super) fn remove(
        &mut self,
        key: ServiceKey,
        keys: &mut ServiceKeys,
    ) -> Result<(), Refusal> {
        if self.0.remove(&key).is_none() {
            return Err(Refusal::new(
                RefusalKind::NoSuchService,
                "these packets carry no mark",
            ));
        }
        // The key first: a record without it is a rule whose mark has no service.
        keys.discard(key)?;
        Ok(keys.discard(record(key))?)
    }

    /// Has the packets that carry a mark find its service, if there is one.
    pub(super) fn index_mark(
        &self,
        mark: u32,
        family: Family,
        services: &Services,
        keys: &mut ServiceKeys,
    ) -> Result<(), KernelError> {
        let family = keys::number(family);
        let rules = self
            .0
            .iter()
            .filter(|&(key, found)| *found == mark && key.family == family);
        rules
            .map(|(key, _)| *key)
            .try_for_each(|key| self.index_rule(key, services, keys))
    }

    /// Has all packets with marks find their services: after a daemon that died while it changed that.
    pub(super) fn index_marks(
        &self,
        services: &Services,
        keys: &mut ServiceKeys,
    ) -> Result<(), KernelError> {
        self.0
            .keys()
            .try_for_each(|&key| self.index_rule(key, services, keys))
    }

    /// Has the packets of one rule find their mark's service, if there is one.
    pub(super) fn index_rule(
        &self,
        key: ServiceKey,
        services: &Services,
        keys: &mut ServiceKeys,
    ) -> Result<(), KernelError> {
        let mark = self.0.get(&key).copied().unwrap_or(0);
        let family = keys::family_of(&key);
        match services.find(&ServiceId::Mark { mark, family }) {
            Some((index, _)) => keys.insert(key, index),
            None => keys.discard(key),
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

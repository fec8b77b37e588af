//! Many changes as one: they are worked out first, then each service is written once.

use std::collections::HashMap;

use lvs_api::model::ServiceId;
use lvs_api::protocol::{Edit, Edits, Refusal, RefusalKind, RefusedEdit};

use super::changes::Changes;
use super::parts::Director;
use super::wanted::{Wanted, after, canonical_service, subject};
use super::{own_end, timeouts};
use crate::own_addresses::OwnIps;

/// Changes that are not written yet.
#[derive(Default)]
struct Batch {
    /// Services in the order of their first changes.
    order: Vec<ServiceId>,
    changes: HashMap<ServiceId, Change>,
    own: OwnIps,
}

/// The changes of one service.
#[derive(Default)]
struct Change {
    /// The service after them; none: there is none.
    wanted: Option<Wanted>,
    /// Places of the edits; where it is deleted on the way, of those since then.
    places: Vec<usize>,
    /// The same as changes, and whether it is deleted on the way.
    changes: Changes,
}

impl Batch {
    fn change(&mut self, id: ServiceId, now: Option<&Wanted>) -> &mut Change {
        self.changes.entry(id).or_insert_with(|| {
            self.order.push(id);
            Change {
                wanted: now.cloned(),
                ..Change::default()
            }
        })
    }
}

impl Change {
    fn set(&mut self, wanted: Option<Wanted>, id: &ServiceId, edit: &Edit, place: usize) {
        if wanted.is_none() {
            self.places.clear();
        } else {
            self.places.push(place);
        }
        self.changes.add(id, self.wanted.as_ref(), edit);
        self.wanted = wanted;
    }
}

impl Director {
    /// Makes many changes, in their order; the refused ones. A packet sees a service before all of its changes or
    /// after them.
    pub fn apply_many(&mut self, edits: &Edits) -> Vec<RefusedEdit> {
        let mut refused = Vec::new();
        let mut batch = Batch::default();
        for (place, edit) in edits.edits.iter().enumerate() {
            let outcome = match edit {
                Edit::Zero { .. }
                | Edit::SetTimeouts(_)
                | Edit::Mark(_)
                | Edit::SetSysctl { .. }
                    if edits.atomic =>
                {
                    Err(Refusal::new(
                        RefusalKind::NotSupported,
                        "only changes of virtual services and real servers can be atomic",
                    ))
                }
                Edit::Zero { .. }
                | Edit::SetTimeouts(_)
                | Edit::Mark(_)
                | Edit::SetSysctl { .. } => {
                    self.write_batch(&std::mem::take(&mut batch), &edits.edits, &mut refused);
                    self.apply_to_all(edit)
                }
                edit => self.collect(&mut batch, edit, place),
            };
            if let Err(refusal) = outcome {
                refused.push(RefusedEdit { place, refusal });
                if edits.atomic {
                    return refused;
                }
            }
        }
        if edits.atomic {
            refused.extend(self.write_whole(&batch).err());
        } else {
            self.write_batch(&batch, &edits.edits, &mut refused);
        }
        self.follow();
        refused.sort_by_key(|edit| edit.place);
        refused
    }

    /// Makes a change that is about no service alone.
    fn apply_to_all(&mut self, edit: &Edit) -> Result<(), Refusal> {
        match edit {
            Edit::Zero { service } => self.zero(service.as_ref()),
            Edit::SetTimeouts(timeouts) => timeouts::set(&self.maps.config, *timeouts),
            Edit::Mark(rule) => self.set_mark(rule),
            Edit::SetSysctl { name, value } => self.set_sysctl(name, value),
            _ => Ok(()),
        }
    }

    /// Adds a change to those that are to be written.
    fn collect(&self, batch: &mut Batch, edit: &Edit, place: usize) -> Result<(), Refusal> {
        let Some(id) = subject(edit).map(canonical_service) else {
            // All services: those there are, and those that the batch adds.
            for id in self.services.ids().into_iter().chain(batch.order.clone()) {
                batch
                    .change(id, self.wanted(&id))
                    .set(None, &id, edit, place);
            }
            return Ok(());
        };
        own_end::refuse(edit, |address| batch.own.contains(address))?;
        let change = batch.change(id, self.wanted(&id));
        let wanted = after(change.wanted.as_ref(), edit)?;
        change.set(wanted, &id, edit, place);
        Ok(())
    }

    /// Writes each service with its changes. Of one that finds no room with all of them, as many as find room.
    fn write_batch(&mut self, batch: &Batch, edits: &[Edit], refused: &mut Vec<RefusedEdit>) {
        for id in &batch.order {
            let Some(change) = batch.changes.get(id) else {
                continue;
            };
            if self.write_change(id, change).is_ok() {
                continue;
            }
            if change.changes.begins_anew
                && let Err(refusal) = self.remove_service(*id)
            {
                let place = change.places.first().copied().unwrap_or_default();
                refused.push(RefusedEdit { place, refusal });
            }
            for &place in &change.places {
                let edit = edits.get(place).map(std::slice::from_ref);
                if let Err(refusal) = self.edit_service(id, edit.unwrap_or_default()) {
                    refused.push(RefusedEdit { place, refusal });
                }
            }
        }
    }

    /// Writes all services with their changes, or leaves all as they are.
    fn write_whole(&mut self, batch: &Batch) -> Result<(), RefusedEdit> {
        // Deletions last: they need no room, and what they delete could not be brought back as it was.
        let (added, deleted): (Vec<_>, Vec<_>) = batch
            .order
            .iter()
            .filter_map(|id| Some((id, batch.changes.get(id)?)))
            .partition(|(_, change)| change.wanted.is_some());
        let mut written = Vec::new();
        for (id, change) in added.into_iter().chain(deleted) {
            let before = self.wanted(id).cloned();
            let Err(refusal) = self.write_change(id, change) else {
                written.push((*id, before));
                continue;
            };
            for (id, before) in written.into_iter().rev() {
                self.restore(id, before);
            }
            let place = change.places.last().copied().unwrap_or_default();
            return Err(RefusedEdit { place, refusal });
        }
        Ok(())
    }

    /// Writes a service as it was before.
    fn restore(&mut self, id: ServiceId, before: Option<Wanted>) {
        let restored = match before {
            Some(wanted) => {
                let changes = Changes::between(self.wanted(&id), &wanted);
                self.upsert_service(id, wanted, &changes)
            }
            None => self.remove_service(id),
        };
        if let Err(refusal) = restored {
            tracing::error!("{id:?} is not as it was before: {}", refusal.message);
        }
    }

    fn write_change(&mut self, id: &ServiceId, change: &Change) -> Result<(), Refusal> {
        let Some(wanted) = &change.wanted else {
            return self.remove_service(*id);
        };
        if self.wanted(id) == Some(wanted) && change.changes.is_empty() {
            return Ok(());
        }
        self.upsert_service(*id, wanted.clone(), &change.changes)
    }
}

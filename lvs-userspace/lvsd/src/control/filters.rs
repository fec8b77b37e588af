//! Files of prefixes that filters name: the daemon reads them, so that it can read them again.

use lvs_api::filter::Filter;
use lvs_api::protocol::{Edit, Refusal, RefusalKind};
use lvs_config::prefixes;

use super::state::Control;

/// Reads the files of the filter that an edit sets.
pub(super) fn read(edit: &mut Edit) -> Result<(), Refusal> {
    match edit {
        Edit::SetFilter { filter, .. } => load(filter),
        Edit::AddService { settings, .. } | Edit::EditService { settings, .. } => {
            settings.filter.as_mut().map_or(Ok(()), load)
        }
        _ => Ok(()),
    }
}

/// Reads the files of all filters in force again, then sets those that changed.
pub(super) fn reload(control: &Control) -> Result<(), Refusal> {
    let services = control.director().list().services;
    let mut edits = Vec::new();
    for service in services {
        let Some(before) = service.settings.filter else {
            continue;
        };
        let mut filter = before.clone();
        load(&mut filter)?;
        if filter != before {
            let service = service.id;
            edits.push(Edit::SetFilter { service, filter });
        }
    }
    let mut director = control.director();
    edits.iter().try_for_each(|edit| director.apply(edit))
}

fn load(filter: &mut Filter) -> Result<(), Refusal> {
    if let Some(file) = filter.files().find(|file| !file.file.is_absolute()) {
        let message = format!(
            "the path of a file begins with /, not as {}",
            file.file.display()
        );
        return Err(Refusal::new(RefusalKind::Invalid, message));
    }
    prefixes::load(filter).map_err(|error| {
        Refusal::new(
            RefusalKind::Invalid,
            format!("{error}; nothing was changed"),
        )
    })
}

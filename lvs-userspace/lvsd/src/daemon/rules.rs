//! The tables of a daemon whose file is rules (`ipvsadm -S`).

use anyhow::{Result, anyhow};
use lvs_dataplane::director::Configuration;

use crate::control::Control;

/// Makes the tables hold exactly these services.
pub(super) fn apply(control: &Control, configuration: &Configuration) -> Result<()> {
    let outcome = control.director().configure(configuration);
    outcome.map_err(|refusal| {
        anyhow!(
            "the configuration is not in effect as a whole: {}",
            refusal.message
        )
    })
}

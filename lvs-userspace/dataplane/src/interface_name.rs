//! Names of interfaces.

use nix::net::if_::if_indextoname;

/// The name of an interface; none, if it is gone.
pub(crate) fn interface_name(index: u32) -> Option<String> {
    let name = if_indextoname(index).ok()?;
    // The library answers so for an interface that is not there.
    (!name.is_empty()).then(|| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_is_gone_has_no_name() {
        assert_eq!(interface_name(0x7fff_fff0), None);
        assert_eq!(interface_name(1).as_deref(), Some("lo"));
    }
}

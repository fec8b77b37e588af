//! Errors of the system: their text in a message, and those that are the director's own.

use std::io;

use lvs_dataplane::service_path::Unavailable;

/// An error of the system in lower case and without its number.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut rest = text.chars();
    // An acronym stays as it is.
    match (rest.next(), rest.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() => {
            first.to_lowercase().chain(rest).collect()
        }
        _ => text.to_owned(),
    }
}

/// The error is the director's own: what it lacks is not the server's fault, and a director that is short
/// of descriptors must not put all servers out of service.
pub(crate) fn is_own(error: &io::Error) -> bool {
    let inner = error.get_ref();
    let unavailable = inner.and_then(|inner| inner.downcast_ref::<Unavailable>());
    let short = matches!(
        error.raw_os_error(),
        Some(
            libc::EAGAIN
                | libc::EMFILE
                | libc::ENFILE
                | libc::ENOBUFS
                | libc::ENOMEM
                | libc::EADDRNOTAVAIL
                | libc::EADDRINUSE
        )
    );
    unavailable.is_some() || short
}

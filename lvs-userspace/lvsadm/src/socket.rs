//! Path of the control socket.

use std::env;
use std::path::PathBuf;

use lvs_api::DEFAULT_SOCKET;

/// The path of `--socket`, else of `LVS_SOCKET`, else the default.
pub(crate) fn path(option: Option<PathBuf>) -> PathBuf {
    option
        .or_else(|| env::var_os("LVS_SOCKET").map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from(DEFAULT_SOCKET))
}

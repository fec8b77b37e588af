//! Refusals for what the kernel refused.

use lvs_api::protocol::{Refusal, RefusalKind};

use crate::kernel::KernelError;

impl From<KernelError> for Refusal {
    fn from(error: KernelError) -> Self {
        Self::new(RefusalKind::Internal, error.to_string())
    }
}

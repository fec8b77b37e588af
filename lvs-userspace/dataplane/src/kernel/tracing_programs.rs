//! The programs that are to be attached: those that record packets, while somebody traces.

use aya::Ebpf;

use super::stage_programs::StagePrograms;

/// The loaded programs that record packets.
pub struct Tracing {
    pub(super) ebpf: Ebpf,
    pub(super) stages: StagePrograms,
}

/// The object whose programs are to be attached: the one that records packets, if there is one.
pub(super) fn running<'a>(ebpf: &'a mut Ebpf, tracing: &'a mut Option<Tracing>) -> &'a mut Ebpf {
    tracing.as_mut().map_or(ebpf, |tracing| &mut tracing.ebpf)
}

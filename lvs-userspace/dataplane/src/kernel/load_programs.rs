//! Programs of an object, verified by the kernel and loaded, on all CPUs at once.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread;

use aya::Ebpf;
use aya::programs::Program;
use parking_lot::Mutex;

use super::error::{KernelError, load_error};

/// Loads the wanted programs side by side: the verifier walks through some hundred thousand instructions of each.
pub(super) fn load_programs(
    ebpf: &mut Ebpf,
    wanted: impl Fn(&str, &Program) -> bool,
) -> Result<(), KernelError> {
    let programs = ebpf.programs_mut();
    let wanted: Vec<_> = programs
        .filter(|(name, program)| wanted(name, program))
        .collect();
    let programs = Mutex::new(wanted.into_iter());
    let load_others = || {
        while let Some((_, program)) = { programs.lock().next() } {
            load_program(program)?;
        }
        Ok(())
    };
    let cpus = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        // Where a thread cannot be had, this one loads what is left.
        let helpers: Vec<_> = (1..cpus)
            .map_while(|_| {
                let helper = thread::Builder::new().name("verifier".to_owned());
                helper.spawn_scoped(scope, load_others).ok()
            })
            .collect();
        let mut loaded = load_others();
        for helper in helpers {
            loaded = loaded.and(helper.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        loaded
    })
}

fn load_program(program: &mut Program) -> Result<(), KernelError> {
    let loaded = match program {
        Program::Xdp(program) => program.load(),
        Program::SchedClassifier(program) => program.load(),
        Program::CgroupSockAddr(program) => program.load(),
        _ => return Err(KernelError::Missing("program of that kind")),
    };
    loaded.map_err(load_error)
}

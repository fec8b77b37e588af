//! The verifier's figures, without attaching anything (`lvsd --verify`).

use aya::Ebpf;
use aya::programs::Program;
use aya_obj::Object;

use super::error::{KernelError, program_error};
use super::load::{Instrumentation, OBJECT, Options, Sizes, make, new_config};
use super::load_programs::load_programs;
use super::stage_programs::WayIn;

/// Figures of the verifier about a program.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The program.
    pub program: String,
    /// Instructions the verifier walked through; `None` if the kernel does not report them.
    pub instructions: Option<u32>,
    /// Bytes of BPF code.
    pub bytes: Option<u32>,
}

/// Loads every program without attaching or pinning anything.
pub fn verify(options: &Options) -> Result<Vec<Verified>, KernelError> {
    let object = Object::parse(OBJECT).map_err(|error| KernelError::Object(Box::new(error)))?;
    let sizes = Sizes::wanted(options, &object);
    let config = new_config()?;
    let instrumentation = |tracing| Instrumentation {
        tracing,
        log: options.program_log,
    };
    let mut ebpf = make(OBJECT, &config, sizes, None, instrumentation(false))?;
    load_programs(&mut ebpf, |_, program| {
        !matches!(program, Program::RawTracePoint(_))
    })?;
    let mut verified = figures(&ebpf, str::to_owned)?;
    // One after the other: both at once would take the memory of both.
    drop(ebpf);
    let mut tracing = make(OBJECT, &config, sizes, None, instrumentation(true))?;
    load_programs(&mut tracing, |name, _| WayIn::handles_packets(name))?;
    verified.extend(figures(&tracing, |name| format!("{name} while tracing"))?);
    Ok(verified)
}

/// The verifier's figures about the loaded programs of an object.
fn figures(ebpf: &Ebpf, named: impl Fn(&str) -> String) -> Result<Vec<Verified>, KernelError> {
    let mut verified = Vec::new();
    for (name, program) in ebpf.programs() {
        if matches!(program, Program::RawTracePoint(_)) || program.fd().is_err() {
            continue;
        }
        let info = program.info().map_err(program_error("cannot ask about"))?;
        verified.push(Verified {
            program: named(name),
            instructions: info.verified_instruction_count(),
            bytes: info.size_translated(),
        });
    }
    Ok(verified)
}

//! Programs of the bench: the director's program between a generator and a sink, loaded beside a data path,
//! over its maps.

use std::time::Duration;

use aya::Ebpf;
use aya::maps::{Map, MapData, ProgramArray};
use aya::programs::tc::SchedClassifierLink;
use aya::programs::xdp::XdpMode;
use aya::programs::{TestRun as _, TestRunAttrs, TestRunOptions, Xdp};
use lvs_common::abi::{BENCH_FRAME, Bench};

use super::attach::attach_for_now;
use super::error::{KernelError, load_error, program_error};
use super::load::{DataPath, load_bench};
use super::mapping::Mapping;
use super::{stage_programs, trace};

/// Frames that are sent before the next ones are made.
const BATCH: u32 = 64;

/// The bench's programs.
pub struct BenchPrograms {
    ebpf: Ebpf,
    /// The stages that they call, which the kernel forgets once nobody holds the array.
    _stages: ProgramArray<MapData>,
    settings: Mapping<Bench>,
}

/// The TC program of a data path on an interface, until this is dropped.
pub struct TcAttachment {
    _link: SchedClassifierLink,
}

impl DataPath {
    /// Attaches the TC program, outside of all that a daemon attaches.
    pub fn attach_tc_alone(&mut self, interface: &str) -> Result<TcAttachment, KernelError> {
        let program = self.programs.tc(true, &self.directory)?;
        attach_for_now(program, interface)
            .and_then(|link| program.take_link(link))
            .map(|link| TcAttachment { _link: link })
            .map_err(program_error("cannot attach"))
    }

    /// Has socket buffers that are dropped be counted no more. The sink drops every frame, which costs as much as half of
    /// what is measured where each is counted as lost.
    pub fn leave_drops_uncounted(&self) -> Result<(), KernelError> {
        trace::detach_buffers(&self.directory)
    }
}

impl BenchPrograms {
    /// Opens a data path's maps. Each program is loaded when it is first used.
    pub fn load(path: &mut DataPath) -> Result<Self, KernelError> {
        let mut ebpf = load_bench(path)?;
        path.load_xdp()?;
        let stages = stage_programs::lend(&path.programs.ebpf, &mut ebpf)?;
        let Some(Map::Array(map)) = ebpf.map("bench") else {
            return Err(KernelError::Missing("bench"));
        };
        let settings = Mapping::of(map, "bench")?;
        Ok(Self {
            ebpf,
            _stages: stages,
            settings,
        })
    }

    /// Settings of the generator, and counts of the sink.
    pub fn settings(&self) -> Bench {
        self.settings
            .read(0)
            .unwrap_or_else(zerocopy::FromZeros::new_zeroed)
    }

    /// Replaces the settings of the generator.
    pub fn configure(&self, settings: Bench) {
        self.settings.write(0, settings);
    }

    /// Runs a program so many times, on frames as if they came by an interface; the time each took by the
    /// kernel's clock, which leaves out what other processes got meanwhile.
    pub fn run(
        &mut self,
        program: &str,
        interface: u32,
        times: u32,
    ) -> Result<Duration, KernelError> {
        let frame = [0; BENCH_FRAME];
        let context = came_by(interface);
        let options = TestRunOptions {
            data_in: Some(&frame),
            ctx_in: Some(&context),
            repeat: times,
            ..Default::default()
        };
        let result = self
            .program(program)?
            .test_run(options)
            .map_err(program_error("cannot run"))?;
        Ok(result.duration)
    }

    /// Attaches a program to an interface in native mode until this is dropped.
    pub fn attach(&mut self, program: &str, interface: &str) -> Result<(), KernelError> {
        self.attach_by(program, interface, XdpMode::Driver)
    }

    /// The same in generic mode.
    pub fn attach_generic(&mut self, program: &str, interface: &str) -> Result<(), KernelError> {
        self.attach_by(program, interface, XdpMode::Skb)
    }

    fn attach_by(
        &mut self,
        program: &str,
        interface: &str,
        mode: XdpMode,
    ) -> Result<(), KernelError> {
        self.program(program)?
            .attach(interface, mode)
            .map_err(program_error("cannot attach"))?;
        Ok(())
    }

    /// Sends so many live frames out of an interface; the kernel's time for each, all hops included.
    pub fn send(&mut self, interface: u32, frames: u32) -> Result<Duration, KernelError> {
        let frame = [0; BENCH_FRAME];
        let context = came_by(interface);
        let options = TestRunOptions {
            data_in: Some(&frame),
            ctx_in: Some(&context),
            repeat: frames,
            attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
            ..Default::default()
        };
        let result = self
            .program("generator")?
            .test_run(options)
            .map_err(program_error("cannot run"))?;
        Ok(result.duration)
    }

    /// Unloads a program: when it is loaded again it lies elsewhere in memory.
    pub fn unload(&mut self, program: &str) -> Result<(), KernelError> {
        let program = self.named(program)?;
        if program.fd().is_err() {
            return Ok(());
        }
        program.unload().map_err(program_error("cannot unload"))
    }

    fn named(&mut self, name: &str) -> Result<&mut Xdp, KernelError> {
        self.ebpf
            .program_mut(name)
            .ok_or(KernelError::Missing("program for the bench"))?
            .try_into()
            .map_err(program_error("cannot use"))
    }

    fn program(&mut self, name: &str) -> Result<&mut Xdp, KernelError> {
        let program = self.named(name)?;
        if program.fd().is_err() {
            program.load().map_err(load_error)?;
        }
        Ok(program)
    }
}

/// The context of the generator's frames.
fn came_by(interface: u32) -> Vec<u8> {
    // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
    let length = u32::try_from(BENCH_FRAME).unwrap_or(0);
    let words = [0, length, 0, interface, 0, 0];
    words.into_iter().flat_map(u32::to_ne_bytes).collect()
}

//! Frames that the daemon has the kernel handle as a driver's, by running a program on them for real
//! (`BPF_F_TEST_XDP_LIVE_FRAMES`).

use aya::programs::{TestRun as _, TestRunAttrs, TestRunOptions, Xdp};
use lvs_common::abi::{ARRIVE_PROGRAM, Mac, PROGRAM, TRY_PROGRAM, TryFrame};
use zerocopy::IntoBytes as _;

use super::error::{KernelError, program_error};
use super::load::DataPath;

/// The fate of a frame that tried an interface out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tried {
    /// The interface took it.
    Taken,
    /// The kernel dropped it, with this error number (0: it named none).
    Lost(u32),
    /// Lost frames are not counted here.
    Unknown,
}

impl DataPath {
    /// Has the XDP program handle a frame once more that came by this interface; what it decides happens.
    pub fn send_again(&self, interface: u32, frame: &[u8]) -> Result<(), KernelError> {
        self.run_live(PROGRAM, interface, frame)
    }

    /// Has the kernel receive a frame by this interface once more, behind its driver: whatever runs there, the TC
    /// program among it, gets it.
    pub fn receive_again(&self, interface: u32, frame: &[u8]) -> Result<(), KernelError> {
        self.run_live(ARRIVE_PROGRAM, interface, frame)
    }

    /// Sends a frame from an XDP program by an interface with this Ethernet address, and looks whether it was sent.
    pub fn try_out(&self, interface: u32, mac: Mac) -> Result<Tried, KernelError> {
        if !self.traced {
            return Ok(Tried::Unknown);
        }
        let before = self.maps.lost_frames.tried();
        let frame = TryFrame::new(interface, mac);
        // It comes by no interface.
        self.run_live(TRY_PROGRAM, 0, frame.as_bytes())?;
        let lost = self.maps.lost_frames.tried();
        let lost = lost.iter().find(|(key, frames)| {
            let (by, _) = key;
            *by == interface && before.get(key).is_none_or(|before| before < frames)
        });
        Ok(lost.map_or(Tried::Taken, |(&(_, error), _)| Tried::Lost(error)))
    }

    /// `interface`: that by which the frame came; 0: none.
    fn run_live(
        &self,
        program: &'static str,
        interface: u32,
        frame: &[u8],
    ) -> Result<(), KernelError> {
        let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
        let words = [0, length, 0, interface, 0, 0];
        let context: Vec<u8> = words.into_iter().flat_map(u32::to_ne_bytes).collect();
        let options = TestRunOptions {
            data_in: Some(frame),
            ctx_in: Some(&context),
            repeat: 1,
            attrs: TestRunAttrs::new().xdp_live_frames(1),
            ..Default::default()
        };
        let tracing = self.tracing.as_ref().filter(|_| program == PROGRAM);
        let found = tracing
            .unwrap_or(&self.programs)
            .ebpf
            .program(program)
            .ok_or(KernelError::Missing(program))?;
        let found: &Xdp = found.try_into().map_err(program_error("cannot use"))?;
        found
            .test_run(options)
            .map(drop)
            .map_err(program_error("cannot run"))
    }
}

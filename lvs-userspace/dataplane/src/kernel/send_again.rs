//! Frames that go through the program once more, as if they came by their interface just now.

use aya::programs::{TestRun as _, TestRunAttrs, TestRunOptions};

use super::error::{KernelError, program_error};
use super::load::DataPath;

impl DataPath {
    /// Has the program handle a frame that came by this interface; what it decides happens
    /// (`BPF_F_TEST_XDP_LIVE_FRAMES`).
    pub fn send_again(&self, interface: u32, frame: &[u8]) -> Result<(), KernelError> {
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
        self.loaded()?
            .test_run(options)
            .map(drop)
            .map_err(program_error("cannot run"))
    }
}

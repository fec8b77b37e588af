//! Holds later fragments that came before the first one of their packet, and sends them on; fragments packets that
//! are too big for their server's way. Segments that are to be answered twice come in once more; the reset that was the
//! first answer, of their server, is sent again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lvs_common::abi::HeldFrame;
use lvs_dataplane::early_fragments::EarlyFragments;
use lvs_dataplane::fragmentation::{finish_checksum, fragments};
use lvs_dataplane::kernel::Held;
use lvs_dataplane::server_resets::{ServerResets, is_closed};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::debug;

use super::interfaces::Interfaces;
use crate::control::Control;

/// Between two looks whether the first fragment is there.
const LOOK: Duration = Duration::from_millis(2);
/// Between two looks whether the daemon ends, while there is nothing else to do.
const IDLE: Duration = Duration::from_millis(250);

/// Starts to hold fragments, on a thread of its own: milliseconds count. It ends when `stopped` is closed.
pub(super) fn hold(
    control: Arc<Control>,
    interfaces: Arc<Mutex<Interfaces>>,
    stopped: watch::Receiver<()>,
) -> JoinHandle<()> {
    tokio::task::spawn_blocking(move || {
        let mut early = EarlyFragments::default();
        let mut resets = ServerResets::default();
        while stopped.has_changed().is_ok() {
            let wait = if early.is_empty() { IDLE } else { LOOK };
            control.maps().held_fragments.wait(wait);
            look(&control, &interfaces, &mut early, &mut resets);
        }
    })
}

/// Takes new fragments over, and sends those on whose wait is over.
fn look(
    control: &Control,
    interfaces: &Mutex<Interfaces>,
    early: &mut EarlyFragments,
    resets: &mut ServerResets,
) {
    let held = &control.maps().held_fragments;
    let now = Instant::now();
    let send = |interface, frame: &[u8]| {
        let sent = interfaces.lock().send_again(interface, frame);
        if let Err(error) = sent {
            debug!("a held frame is lost: {error}");
        }
    };
    for Held {
        interface,
        mtu,
        unfinished,
        mut frame,
    } in held.drain()
    {
        if unfinished {
            finish_checksum(&mut frame);
        }
        match mtu {
            0 => early.insert(interface, frame, now),
            HeldFrame::AGAIN => {
                resets.insert(interface, &frame, now);
                send(interface, &frame);
            }
            mtu => {
                for fragment in fragments(&frame, mtu) {
                    send(interface, &fragment);
                }
            }
        }
    }
    for (waiting, given_up) in early.over(now, |key| held.is_known(key)) {
        if given_up {
            held.release(&waiting.key);
        }
        send(waiting.interface, &waiting.frame);
    }
    for (interface, frame) in resets.due(now, |key| is_closed(control.maps(), key)) {
        send(interface, &frame);
    }
}

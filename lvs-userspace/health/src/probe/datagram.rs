//! Questions and answers over UDP.

use std::io;

use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::{Probe, socket};
use crate::outcome::Failure;

/// Bytes of an answer that are looked at.
pub(crate) const LONGEST: usize = 8 << 10;

/// The number of times that a question is sent.
#[derive(Clone, Copy)]
pub(crate) enum Sending {
    /// Once: the effect of a second one is not known.
    Once,
    /// Three times in the probe's time: any of them or of their answers may get lost.
    Repeated,
}

/// A socket that receives from the check's target only.
pub(crate) async fn open(probe: &Probe<'_>) -> Result<UdpSocket, Failure> {
    probe.awaits("answer");
    socket::udp(probe).await.map_err(failure)
}

/// Sends a question, and passes each datagram that comes back to `accept`, until it returns the answer.
pub(crate) async fn ask<T>(
    probe: &Probe<'_>,
    socket: &UdpSocket,
    question: &[u8],
    sending: Sending,
    mut accept: impl FnMut(&[u8]) -> Option<T>,
) -> Result<T, Failure> {
    let mut listen = async || {
        let mut answer = Vec::with_capacity(LONGEST);
        loop {
            answer.clear();
            socket.recv_buf(&mut answer).await.map_err(failure)?;
            if let Some(accepted) = accept(&answer) {
                return Ok(accepted);
            }
        }
    };
    if let Sending::Repeated = sending {
        for _ in 0..2 {
            socket.send(question).await.map_err(failure)?;
            if let Ok(answer) = timeout(probe.endpoint.timeout / 3, listen()).await {
                return answer;
            }
        }
    }
    socket.send(question).await.map_err(failure)?;
    listen().await
}

/// A refusal is an ICMP error, of this datagram or one before (RFC 1122, section 4.1.3.3).
pub(crate) fn failure(error: io::Error) -> Failure {
    let source = match error.kind() {
        io::ErrorKind::ConnectionRefused => io::Error::other("port unreachable"),
        _ => error,
    };
    Failure::Io {
        awaited: "answer",
        source,
    }
}

//! Frames on a connection, and what ends one.

use std::io;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::refusal::Refusal;
use super::seal::OVERHEAD;

/// From one sign of life to the next, when there is nothing else to say.
pub(super) const HEARTBEAT: Duration = Duration::from_millis(200);
/// Who says nothing for so long is dead, or the network between is.
pub(super) const SILENCE: Duration = Duration::from_secs(1);

/// Why a link is down.
#[derive(Debug, Error)]
pub(super) enum Broken {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("{0}")]
    Network(#[from] io::Error),
    /// While it was to answer the first message.
    #[error("it hung up: its log and `lvsadm sync status` there tell why (another key?)")]
    HungUp,
    #[error("it does not answer")]
    Unanswered,
    #[error("another connection of the same director took its place")]
    Replaced,
    #[error("{0}")]
    Name(String),
    #[error("a task failed: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// Reads a frame as it travels: its length in two bytes, then as many.
pub(super) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    longest: usize,
) -> Result<Vec<u8>, Broken> {
    let frame = async {
        let length = usize::from(stream.read_u16().await?);
        if length < OVERHEAD || length > longest {
            return Err(Refusal::Length.into());
        }
        let mut frame = vec![0; length];
        stream.read_exact(&mut frame).await?;
        Ok(frame)
    };
    let read = timeout(SILENCE, frame).await;
    read.unwrap_or(Err(Refusal::Silence.into()))
}

/// Writes a message of the handshake.
pub(super) async fn greet(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &[u8],
) -> Result<(), Broken> {
    let length = u16::try_from(message.len()).map_err(|_| Refusal::Length)?;
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend_from_slice(message);
    stream.write_all(&bytes).await?;
    Ok(())
}

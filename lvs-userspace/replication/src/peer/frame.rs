//! Frames on a TCP connection, and the errors that end a session.

use std::io;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::heartbeat::SILENCE;
use super::noise::OVERHEAD;
use super::refusal::Refusal;

/// The reason why there is no session.
#[derive(Debug, Error)]
pub(super) enum SessionError {
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

/// Reads a frame, still encrypted: its length in two bytes, then as many.
pub(super) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    longest: usize,
) -> Result<Vec<u8>, SessionError> {
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
pub(super) async fn write_handshake(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &[u8],
) -> Result<(), SessionError> {
    let length = u16::try_from(message.len()).map_err(|_| Refusal::Length)?;
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend_from_slice(message);
    stream.write_all(&bytes).await?;
    Ok(())
}

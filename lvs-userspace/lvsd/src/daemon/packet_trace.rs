//! Traces packets for those who ask: the programs that record packets run while somebody does, and no longer.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use lvs_api::model::Method;
use lvs_api::protocol::{Refusal, RefusalKind};
use lvs_api::trace::TraceLine;
use lvs_dataplane::kernel::PacketRecords;
use lvs_dataplane::packet_trace::{Served, program_filter, traced};
use nix::time::{ClockId, clock_gettime};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tracing::error;

use super::interfaces::Interfaces;
use super::stop::ended;
use crate::control::{Control, Tracer};

/// Tracers at a time at most.
const TRACERS: usize = 8;
/// Between two looks for records: at 10,000 packets a second some hundred.
const LOOK: Duration = Duration::from_millis(10);
/// Between two lines at least, packets or not: so that a tracer who went away is noticed, and services that changed.
const PERIOD: Duration = Duration::from_secs(1);
/// Records that are read before what they are about is sent.
const CHUNK: usize = 4096;
/// Bytes of an image by which addresses and ports are read.
const HEADERS: u32 = 192;

/// Serves those who trace, one session after the other, until the daemon ends.
pub(super) async fn serve(
    control: Arc<Control>,
    interfaces: Arc<Mutex<Interfaces>>,
    stopped: watch::Receiver<()>,
) {
    let Some(mut requests) = control.take_tracers() else {
        return;
    };
    let mut end = std::pin::pin!(ended(stopped.clone()));
    loop {
        let first = tokio::select! {
            () = &mut end => return,
            first = requests.recv() => first,
        };
        let Some(first) = first else { return };
        let (control, interfaces) = (Arc::clone(&control), Arc::clone(&interfaces));
        let stopped = stopped.clone();
        let session = tokio::task::spawn_blocking(move || {
            let mut session = Session {
                control,
                interfaces,
                tracers: Vec::new(),
            };
            session.run(first, &mut requests, &stopped);
            requests
        });
        match session.await {
            Ok(rest) => requests = rest,
            Err(error) => {
                error!("packets cannot be traced any more: {error}");
                return;
            }
        }
    }
}

/// The time while at least one traces.
struct Session {
    control: Arc<Control>,
    interfaces: Arc<Mutex<Interfaces>>,
    tracers: Vec<Following>,
}

/// A tracer with what it was not told.
struct Following {
    tracer: Tracer,
    untold: u64,
    lost: u64,
}

impl Session {
    fn run(
        &mut self,
        first: Tracer,
        requests: &mut mpsc::Receiver<Tracer>,
        stopped: &watch::Receiver<()>,
    ) {
        let records = self.interfaces.lock().start_tracing();
        let mut records = match records {
            Ok(records) => records,
            Err(error) => {
                let text = format!("packets cannot be traced: {:#}", anyhow::Error::from(error));
                error!("{text}");
                first.refuse(Refusal::new(RefusalKind::Internal, text));
                return;
            }
        };
        self.admit(first, &records);
        self.follow(&mut records, requests, stopped);
        self.interfaces.lock().stop_tracing();
    }

    /// Tells the tracers of packets, until there is none left or the daemon ends.
    fn follow(
        &mut self,
        records: &mut PacketRecords,
        requests: &mut mpsc::Receiver<Tracer>,
        stopped: &watch::Receiver<()>,
    ) {
        let mut told = Instant::now();
        while stopped.has_changed().is_ok() {
            while let Ok(tracer) = requests.try_recv() {
                self.admit(tracer, records);
            }
            while self.tell(records) {}
            if told.elapsed() >= PERIOD {
                told = Instant::now();
                self.keep_alive(records);
                self.set_filter(records);
            }
            self.tracers.retain(|it| !it.tracer.lines.is_closed());
            if self.tracers.is_empty() {
                return;
            }
            thread::sleep(LOOK);
        }
    }

    fn admit(&mut self, tracer: Tracer, records: &PacketRecords) {
        if self.tracers.len() >= TRACERS {
            let text = format!("{TRACERS} trace packets already: end one of them");
            return tracer.refuse(Refusal::new(RefusalKind::NoRoom, text));
        }
        let Some(tracer) = tracer.accept() else {
            return;
        };
        let mut following = Following {
            tracer,
            untold: 0,
            lost: records.lost(),
        };
        following.send(&TraceLine::Began {});
        self.tracers.push(following);
        self.set_filter(records);
    }

    /// Has the programs record what the tracers ask for.
    fn set_filter(&self, records: &PacketRecords) {
        let image = self.tracers.iter().map(|it| it.tracer.image).max();
        let filters = self.tracers.iter().map(|it| &it.tracer.filter);
        let image = image.unwrap_or(0).max(HEADERS);
        records.set_filter(program_filter(filters, &self.served(), image));
    }

    fn served(&self) -> Vec<Served> {
        let services = self.control.director().list().services;
        services
            .into_iter()
            .map(|service| Served {
                id: service.id,
                nat_servers: service
                    .servers
                    .iter()
                    .filter(|server| server.settings.method == Method::Nat)
                    .map(|server| server.id.address())
                    .map(|address| (address, 0).into())
                    .collect(),
            })
            .collect()
    }

    /// Tells of the packets that were recorded. Returns whether there may be more.
    fn tell(&mut self, records: &mut PacketRecords) -> bool {
        let recorded = records.drain(CHUNK);
        let Some(moment) = moment() else {
            return false;
        };
        let images = self.tracers.iter().any(|it| it.tracer.image != 0);
        let mut chunks: Vec<(Vec<u8>, u64)> = vec![Default::default(); self.tracers.len()];
        for recorded in &recorded {
            let (facts, mut packet) = traced(self.control.maps(), recorded, moment, images);
            let whole = (packet.came_image.clone(), packet.left_image.clone());
            for (following, (chunk, count)) in self.tracers.iter().zip(&mut chunks) {
                if !following.tracer.filter.matches(&facts) {
                    continue;
                }
                let image = following.tracer.image as usize;
                (packet.came_image, packet.left_image) = if image == 0 {
                    (None, None)
                } else {
                    whole.clone()
                };
                let images = [&mut packet.came_image, &mut packet.left_image];
                for bytes in images.into_iter().flatten() {
                    bytes.truncate(image);
                }
                let line = TraceLine::Packet(packet.clone());
                if serde_json::to_writer(&mut *chunk, &line).is_ok() {
                    chunk.push(b'\n');
                    *count += 1;
                }
            }
        }
        for (following, (chunk, count)) in self.tracers.iter_mut().zip(chunks) {
            if count != 0 {
                following.send_chunk(chunk, count);
            }
        }
        recorded.len() == CHUNK
    }

    /// Tells what was lost; without anything, that the daemon is there.
    fn keep_alive(&mut self, records: &PacketRecords) {
        let lost = records.lost();
        for following in &mut self.tracers {
            let (records, untold) = (lost - following.lost, following.untold);
            if records == 0 && untold == 0 {
                following.send_chunk(b"\n".to_vec(), 0);
                continue;
            }
            if following.send(&TraceLine::Lost { records, untold }) {
                following.lost = lost;
                following.untold -= untold;
            }
        }
    }
}

impl Following {
    /// Returns whether there was room for it.
    fn send(&mut self, line: &TraceLine) -> bool {
        let mut text = serde_json::to_vec(line).unwrap_or_default();
        text.push(b'\n');
        self.send_chunk(text, 0)
    }

    fn send_chunk(&mut self, chunk: Vec<u8>, packets: u64) -> bool {
        let sent = self.tracer.lines.try_send(Ok(Bytes::from(chunk)));
        if sent.is_err() {
            self.untold += packets;
        }
        sent.is_ok()
    }
}

/// Nanoseconds since 1970 at the start of the monotonic clock.
fn moment() -> Option<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let monotonic = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).ok()?);
    u64::try_from(now.checked_sub(monotonic)?.as_nanos()).ok()
}

//! Traces packets for those who ask: the programs that record packets run while somebody does, and no longer.

use std::mem;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use lvs_api::model::Method;
use lvs_api::protocol::{Refusal, RefusalKind, Service};
use lvs_api::trace::TraceLine;
use lvs_dataplane::director::keeps_source;
use lvs_dataplane::kernel::PacketRecords;
use lvs_dataplane::packet_trace::{InterfaceNames, ServiceAddresses, program_filter, traced};
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
/// Bytes that are sent together, and one line more: with as many pieces as wait, the memory for a slow tracer.
const PIECE: usize = 64 << 10;
/// Records that are read at a time.
const CHUNK: usize = 4096;
/// Chunks of records that there is room for.
const EARLIER: usize = 32;
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
        let (of_session, stopped) = (Arc::clone(&interfaces), stopped.clone());
        let served = Arc::clone(&control);
        let session = tokio::task::spawn_blocking(move || {
            let mut session = Session {
                control: served,
                interfaces: of_session,
                tracers: Vec::new(),
                names: InterfaceNames::default(),
                services: Vec::new(),
                generation: None,
            };
            session.run(first, &mut requests, &stopped);
            requests
        });
        match session.await {
            Ok(rest) => requests = rest,
            Err(error) => {
                interfaces.lock().stop_tracing();
                control.set_tracing(None);
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
    names: InterfaceNames,
    /// The services, and the generation of the director's that they are of.
    services: Vec<ServiceAddresses>,
    generation: Option<u64>,
}

/// A tracer that is served.
struct Following {
    tracer: Tracer,
    begun: Instant,
    /// Lines that are sent together, and the number of packets in them.
    piece: Vec<u8>,
    packets: u64,
    /// Packets that it was too slow for, since it was last sent their number.
    skipped: u64,
    /// Records lost so far, as it was last sent.
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
        self.admit(first, &mut records);
        self.follow(&mut records, requests, stopped);
        self.interfaces.lock().stop_tracing();
        self.control.set_tracing(None);
    }

    /// Sends the tracers what they ask for, until there is none left or the daemon ends.
    fn follow(
        &mut self,
        records: &mut PacketRecords,
        requests: &mut mpsc::Receiver<Tracer>,
        stopped: &watch::Receiver<()>,
    ) {
        let mut refreshed = Instant::now();
        while stopped.has_changed().is_ok() {
            while let Ok(tracer) = requests.try_recv() {
                self.admit(tracer, records);
            }
            // One piece a turn: packets may come faster than they are sent on, for as long as they like.
            let more = self.send_packets(records);
            self.send_losses(records);
            if refreshed.elapsed() >= PERIOD {
                refreshed = Instant::now();
                self.keep_alive();
                if self.refresh_services() {
                    self.set_filter(records);
                }
            }
            let before = self.tracers.len();
            self.tracers.retain(|it| !it.tracer.lines.is_closed());
            if self.tracers.is_empty() {
                return;
            }
            if self.tracers.len() != before {
                self.set_filter(records);
                self.publish_number();
            }
            if !more {
                thread::sleep(LOOK);
            }
        }
    }

    fn admit(&mut self, tracer: Tracer, records: &mut PacketRecords) {
        if self.tracers.len() >= TRACERS {
            let text = format!("{TRACERS} trace packets already: end one of them");
            return tracer.refuse(Refusal::new(RefusalKind::NoRoom, text));
        }
        let Some(tracer) = tracer.accept() else {
            return;
        };
        self.tracers.push(Following {
            tracer,
            begun: Instant::now(),
            piece: Vec::new(),
            packets: 0,
            skipped: 0,
            lost: records.lost(),
        });
        self.refresh_services();
        self.set_filter(records);
        if self.tracers.len() == 1 {
            // Recorded before there was a filter: without images, nobody knows what they were.
            for _ in 0..EARLIER {
                records.drain(CHUNK);
            }
        }
        if let Some(following) = self.tracers.last_mut() {
            following.send(&TraceLine::Began {});
        }
        self.publish_number();
    }

    /// Has the daemon's status say that packets are traced.
    fn publish_number(&self) {
        let oldest = self.tracers.iter().map(|it| it.begun).min();
        self.control
            .set_tracing(oldest.map(|begun| (self.tracers.len(), begun)));
    }

    /// Has the programs record what the tracers ask for.
    fn set_filter(&self, records: &PacketRecords) {
        let image = self.tracers.iter().map(|it| it.tracer.image).max();
        let filters = self.tracers.iter().map(|it| &it.tracer.filter);
        let image = image.unwrap_or(0).max(HEADERS);
        records.set_filter(program_filter(filters, &self.services, image));
    }

    /// Lists the services again if they changed; false if they did not.
    fn refresh_services(&mut self) -> bool {
        let director = self.control.director();
        let generation = Some(director.generation());
        if self.generation == generation {
            return false;
        }
        let services = director.list().services;
        drop(director);
        let addresses = |service: Service| {
            let by = |method| {
                let servers = service.servers.iter();
                servers.filter(move |server| server.settings.method == method)
            };
            let translated = by(Method::Nat).any(|server| !keeps_source(&server.settings));
            ServiceAddresses {
                nat_servers: by(Method::Nat).map(|server| server.id.0).collect(),
                has_own_sources: translated || by(Method::Tunnel).next().is_some(),
                id: service.id,
            }
        };
        self.services = services.into_iter().map(addresses).collect();
        self.generation = generation;
        true
    }

    /// Sends the packets that were recorded to the tracers that ask for them. Returns true if there may be more.
    fn send_packets(&mut self, records: &mut PacketRecords) -> bool {
        let Some(moment) = moment() else {
            return false;
        };
        let recorded = records.drain(CHUNK);
        let images = self.tracers.iter().any(|it| it.tracer.image != 0);
        for recorded in &recorded {
            let (facts, mut packet) = traced(
                self.control.maps(),
                &mut self.names,
                recorded,
                moment,
                images,
            );
            let whole = (packet.came_image.clone(), packet.left_image.clone());
            for following in &mut self.tracers {
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
                following.add(&TraceLine::Packet(packet.clone()));
            }
        }
        for following in &mut self.tracers {
            following.flush();
        }
        recorded.len() == CHUNK
    }

    /// Sends the number of packets that were lost since the last time, if there are any.
    fn send_losses(&mut self, records: &PacketRecords) {
        let lost = records.lost();
        for following in &mut self.tracers {
            let (records, skipped) = (lost - following.lost, following.skipped);
            if (records, skipped) != (0, 0) && following.send(&TraceLine::Lost { records, skipped })
            {
                following.lost = lost;
                following.skipped -= skipped;
            }
        }
    }

    /// Sends an empty line: the daemon is there.
    fn keep_alive(&mut self) {
        for following in &mut self.tracers {
            following.send_piece(b"\n".to_vec());
        }
    }
}

impl Following {
    /// Adds a packet's line to the piece in the making.
    fn add(&mut self, line: &TraceLine) {
        if serde_json::to_writer(&mut self.piece, line).is_ok() {
            self.piece.push(b'\n');
            self.packets += 1;
        }
        if self.piece.len() >= PIECE {
            self.flush();
        }
    }

    /// Sends the piece in the making.
    fn flush(&mut self) {
        let (piece, packets) = (mem::take(&mut self.piece), mem::take(&mut self.packets));
        if packets != 0 && !self.send_piece(piece) {
            self.skipped += packets;
        }
    }

    /// Returns true if there was room for it.
    fn send(&mut self, line: &TraceLine) -> bool {
        let mut text = serde_json::to_vec(line).unwrap_or_default();
        text.push(b'\n');
        self.send_piece(text)
    }

    fn send_piece(&mut self, piece: Vec<u8>) -> bool {
        self.tracer.lines.try_send(Ok(Bytes::from(piece))).is_ok()
    }
}

/// Nanoseconds since 1970 at the start of the monotonic clock.
fn moment() -> Option<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let monotonic = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).ok()?);
    u64::try_from(now.checked_sub(monotonic)?.as_nanos()).ok()
}

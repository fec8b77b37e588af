//! The programs, at those places of the interfaces where they fit.

use std::collections::BTreeSet;
use std::mem::offset_of;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use lvs_api::protocol::{Interface, LostFrames};
use lvs_common::abi::Config;
use nix::net::if_::if_nametoindex;
use tracing::{error, info, warn};

use super::decide::Devices;
use super::entry::entries;
use super::losses::{Losses, describe, is_by_tc, is_final, remedy};
use super::modes::{Mode, Modes};
use super::netdev::{NDO_XMIT, Netdev};
use super::refusal;
use super::upper::{tagged, upper_devices};
use crate::interface_name::interface_name;
use crate::kernel::ethtool;
use crate::kernel::{DataPath, KernelError, PacketRecords, ProgramLine, Tried};
use crate::neighbour::{Interfaces, advance_routes, read_interfaces};
use crate::source_checks::publish_flags;

/// A failure to run the programs on an interface.
#[derive(Debug, thiserror::Error)]
pub enum PlacementError {
    /// The operator's mode cannot be.
    #[error("{interface} cannot do --mode xdp: {why}; use auto or tc")]
    Mode {
        /// The interface.
        interface: String,
        /// The reason.
        why: String,
    },
    /// Its packets are not the director's to handle.
    #[error("the program cannot run on {interface}: {why}")]
    Unfit {
        /// The interface.
        interface: String,
        /// The reason, and what to do.
        why: String,
    },
    /// The kernel refuses.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

/// The data path on its interfaces.
pub struct Placement {
    data_path: DataPath,
    netdev: Option<Netdev>,
    devices: Devices,
    modes: Modes,
    places: Vec<Place>,
    losses: Losses,
}

/// An interface that the programs are to run on.
struct Place {
    /// Its name when the programs came there: the one that the operator or a route named.
    configured: String,
    /// Its name now.
    name: String,
    /// Its index; 0: it is gone.
    index: u32,
    /// In the driver, and behind it; `None`: nowhere.
    running: Option<(bool, bool)>,
    /// The reason for that, for people.
    why: String,
}

impl Place {
    fn new(name: String) -> Self {
        Self {
            configured: name.clone(),
            name,
            index: 0,
            running: None,
            why: String::new(),
        }
    }

    /// The places of the programs for people.
    const fn mode(&self) -> &'static str {
        match self.running {
            Some((true, true)) => "native+tc",
            Some((true, false)) => "native",
            Some((false, true)) => "tc",
            _ => "none",
        }
    }
}

impl Placement {
    /// The data path on no interface yet; what is known of the devices is read.
    pub fn new(data_path: DataPath, modes: Modes) -> Self {
        let netdev = Netdev::find().unwrap_or_else(|error| {
            warn!("the kernel does not tell what its devices do with XDP: {error}");
            None
        });
        let interfaces = read_interfaces().unwrap_or_else(|error| {
            warn!("cannot list the machine's interfaces: {error}");
            Interfaces::new()
        });
        let losses = Losses::since(data_path.maps.lost_frames.read());
        let mut placement = Self {
            data_path,
            netdev,
            devices: Devices {
                interfaces: Arc::new(interfaces),
                ..Devices::default()
            },
            modes,
            places: Vec::new(),
            losses,
        };
        placement.read_features();
        placement
    }

    /// Runs the programs on exactly these interfaces. Packets leave by `hops`, too.
    pub fn start(&mut self, names: &[String], hops: &BTreeSet<u32>) -> Result<(), PlacementError> {
        for name in self.modes.named() {
            if !names.iter().any(|other| other == name) {
                warn!("--mode names {name}, where the programs do not run");
            }
        }
        self.places = names.iter().cloned().map(Place::new).collect();
        let ways_out = self.ways_out(hops);
        for at in 0..self.places.len() {
            if if_nametoindex(&*self.places[at].name).is_err() {
                return Err(KernelError::NoInterface(self.places[at].name.clone()).into());
            }
            self.update_one(at, &ways_out)?;
        }
        self.data_path.leave_all_but(names)?;
        // Some drivers send frames only since the program runs.
        self.update(None, hops);
        Ok(())
    }

    /// Runs the programs on this interface, too.
    pub fn add(&mut self, name: &str, hops: &BTreeSet<u32>) -> Result<(), PlacementError> {
        self.places.push(Place::new(name.to_owned()));
        let ways_out = self.ways_out(hops);
        let outcome = self.update_one(self.places.len() - 1, &ways_out);
        if outcome.is_err() {
            self.places.pop();
        }
        outcome.map(drop)
    }

    /// True if the programs are to run on this interface.
    pub fn includes(&self, name: &str) -> bool {
        self.places.iter().any(|place| place.name == name)
    }

    /// Runs the programs that record packets everywhere.
    pub fn start_tracing(&mut self) -> Result<PacketRecords, KernelError> {
        let records = self.data_path.begin_tracing()?;
        if let Err(error) = self.replace_programs() {
            self.stop_tracing();
            return Err(error);
        }
        Ok(records)
    }

    /// The lines that the programs logged since the last time.
    pub fn read_log(&mut self) -> Vec<ProgramLine> {
        self.data_path.read_log()
    }

    /// Runs the programs that record nothing again. A failure is logged: the next start of the daemon replaces what is
    /// left.
    pub fn stop_tracing(&mut self) {
        let Some(tracing) = self.data_path.leave_tracing() else {
            return;
        };
        let replaced = self.replace_programs();
        // One that is still attached calls its stages.
        let outcome = replaced.and_then(|()| self.data_path.unload_tracing(tracing));
        if let Err(error) = outcome {
            error!("{:#}", anyhow::Error::from(error));
        }
    }

    /// Attaches the programs that are to run in place of those that do, everywhere; returns the first failure. Where it
    /// failed [`Placement::update`] tries again. An interface that went meanwhile is no failure.
    fn replace_programs(&mut self) -> Result<(), KernelError> {
        let mut outcome = Ok(());
        for place in &mut self.places {
            let Some((xdp, tc)) = place.running.filter(|_| place.index != 0) else {
                continue;
            };
            let ethernet = self.devices.has_ethernet(place.index);
            let replaced = self.data_path.run_on(&place.name, xdp, tc, ethernet);
            if replaced.is_err() {
                if if_nametoindex(&*place.name) != Ok(place.index) {
                    continue;
                }
                place.running = None;
            }
            outcome = outcome.and(replaced);
        }
        outcome
    }

    /// Interfaces that an earlier daemon ran the programs on.
    pub fn found(&self) -> Result<Vec<String>, KernelError> {
        self.data_path.attached()
    }

    /// Decides anew, after anything changed: the interfaces (if they are told), what they can do, the `hops`
    /// that packets leave by, the frames that were lost. Failures are logged. True if anything is another.
    pub fn update(&mut self, interfaces: Option<Arc<Interfaces>>, hops: &BTreeSet<u32>) -> bool {
        let before = Arc::clone(&self.devices.interfaces);
        if let Some(interfaces) = interfaces {
            self.devices.interfaces = interfaces;
            let carrier = |of: &Interfaces, index| of.get(&index).is_some_and(|link| link.carrier);
            // Frames are lost while the other end of a wire is made anew, too.
            let after = Arc::clone(&self.devices.interfaces);
            self.devices
                .forget(|index| carrier(&before, index) == carrier(&after, index));
        }
        let known = Arc::clone(&self.devices.interfaces);
        self.devices.forget(|index| known.contains_key(&index));
        self.devices
            .attached
            .retain(|index| known.contains_key(index));
        // A driver that refused for the MTU has another chance with another one.
        let mtu = |of: &Interfaces, index: u32| of.get(&index).map(|found| found.mtu);
        self.devices.refused.retain(|&index, _| {
            known.contains_key(&index) && mtu(&before, index) == mtu(&known, index)
        });
        self.read_features();
        let mut changed = self.read_losses();
        for index in self.devices.untried() {
            self.try_out(index);
        }
        let ways_out = self.ways_out(hops);
        // A program behind the driver runs before packets are left to it, and until none are.
        let mixed = self.places.iter().any(|place| {
            let choice =
                self.devices
                    .choose(place.index, self.modes.of(&place.configured), &ways_out);
            place.index != 0 && choice.is_ok_and(|choice| choice.xdp && choice.tc)
        });
        if !mixed {
            self.set_mixed(false);
        }
        for at in 0..self.places.len() {
            match self.update_one(at, &ways_out) {
                Ok(settled) => changed |= settled,
                Err(error) => {
                    let place = &mut self.places[at];
                    let error = format!("{:#}", anyhow::Error::from(error));
                    if place.why != error {
                        warn!("{}: {error}", place.name);
                        place.why = error;
                        changed = true;
                    }
                }
            }
        }
        if mixed {
            self.set_mixed(true);
        }
        match self.write_interfaces() {
            // A way that is known says how frames leave by its interface.
            Ok(true) => advance_routes(&self.data_path.maps),
            Ok(false) => {}
            Err(error) => warn!("{:#}", anyhow::Error::from(error)),
        }
        changed
    }

    /// Writes the interfaces as they are now. True if they were others before.
    fn write_interfaces(&self) -> Result<bool, KernelError> {
        let maps = &self.data_path.maps;
        let uppers = upper_devices(&self.devices.interfaces);
        let entries = entries(&self.devices.interfaces, &self.devices.senders(), &uppers);
        let changed = maps.upper_devices.write(&uppers)?;
        let changed = maps.interfaces.write(&entries)? || changed;
        publish_flags(maps);
        Ok(changed)
    }

    /// Indices of the interfaces that take frames from an XDP program.
    pub fn senders(&self) -> BTreeSet<u32> {
        self.devices.senders()
    }

    /// The family of the kernel that tells of changes, if it has one.
    pub const fn netdev(&self) -> Option<Netdev> {
        self.netdev
    }

    /// The interfaces for people.
    pub fn describe(&self) -> Vec<Interface> {
        let interface = |place: &Place| Interface {
            name: place.name.clone(),
            mode: place.mode().to_owned(),
            why: place.why.clone(),
        };
        self.places.iter().map(interface).collect()
    }

    /// The frames that were lost on their way out, for people.
    pub fn lost(&self) -> Vec<LostFrames> {
        let lost = |(&(interface, error), &frames): (&(u32, u32), &u64)| LostFrames {
            remedy: remedy(
                &self.devices.name(interface),
                error,
                self.devices.lossy.contains(&interface),
            ),
            interface: self.devices.name(interface),
            error: describe(error),
            frames,
        };
        self.losses.counts().iter().map(lost).collect()
    }

    /// Has the program handle a frame once more that came by this interface, where it did before: in its driver or
    /// behind it.
    pub fn send_again(&self, interface: u32, frame: &[u8]) -> Result<(), KernelError> {
        if self.devices.attached.contains(&interface) {
            self.data_path.send_again(interface, frame)
        } else {
            self.data_path.receive_again(interface, frame)
        }
    }

    /// The data path.
    pub const fn data_path(&mut self) -> &mut DataPath {
        &mut self.data_path
    }

    /// The data path, for its removal.
    pub fn into_data_path(self) -> DataPath {
        self.data_path
    }

    /// Runs the programs on an interface as it is best. True if that is another way than before.
    fn update_one(&mut self, at: usize, ways_out: &BTreeSet<u32>) -> Result<bool, PlacementError> {
        let place = &self.places[at];
        let (name, mode) = (place.name.clone(), self.modes.of(&place.configured));
        let was_there = place.index != 0;
        let index = if_nametoindex(&*name).unwrap_or(0);
        if index == 0 && was_there && self.follow_name(at) {
            return Ok(true);
        }
        if index == 0 {
            if was_there {
                warn!("the interface {name} is gone");
                self.places[at] = Place::new(self.name_after(at));
            }
            return Ok(was_there);
        }
        if let Some(why) = self.devices.unfit(index) {
            let interface = name;
            return Err(PlacementError::Unfit { interface, why });
        }
        if mode == Mode::Xdp {
            self.devices.insisted.insert(index);
        }
        let mut moved = false;
        loop {
            let choice =
                self.devices
                    .choose(index, mode, ways_out)
                    .map_err(|why| PlacementError::Mode {
                        interface: name.clone(),
                        why,
                    })?;
            let running = Some((choice.xdp, choice.tc));
            let place = &mut self.places[at];
            if place.index == index && place.running == running {
                let changed = moved || place.why != choice.why;
                place.why = choice.why;
                if moved {
                    info!("{}: {} ({})", place.name, place.mode(), place.why);
                }
                return Ok(changed);
            }
            let begins =
                choice.xdp && !(place.index == index && self.devices.attached.contains(&index));
            let ethernet = self.devices.has_ethernet(index);
            match self
                .data_path
                .run_on(&name, choice.xdp, choice.tc, ethernet)
            {
                Ok(()) => {
                    if choice.xdp {
                        self.devices.attached.insert(index);
                    } else {
                        self.devices.attached.remove(&index);
                    }
                    place.index = index;
                    place.running = running;
                    moved = true;
                    // Only now some drivers send. What is found out may make another choice.
                    if begins {
                        self.devices.forget(|other| other != index);
                        self.try_out(index);
                    }
                }
                Err(error @ KernelError::Attach { .. }) if choice.xdp => {
                    let refusal = refusal::describe(&error, self.devices.interfaces.get(&index));
                    if mode == Mode::Xdp {
                        let why = format!("its driver refuses the XDP program: {refusal}");
                        let interface = name.clone();
                        return Err(PlacementError::Mode { interface, why });
                    }
                    if self.devices.refused.insert(index, refusal).is_some() {
                        return Err(error.into());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The name of the interface to wait for, where one is gone: the configured one, unless another interface with that
    /// name has the programs already.
    fn name_after(&self, at: usize) -> String {
        let Place {
            configured, name, ..
        } = &self.places[at];
        let taken = name != configured && self.includes(configured);
        if taken { name } else { configured }.clone()
    }

    /// Follows an interface that was renamed; false if it is gone.
    fn follow_name(&mut self, at: usize) -> bool {
        let place = &mut self.places[at];
        let Some(new) = interface_name(place.index) else {
            return false;
        };
        if let Err(error) = self.data_path.rename(&place.name, &new) {
            warn!("{:#}", anyhow::Error::from(error));
            return false;
        }
        warn!(
            "the interface {} is called {new} now, and the programs go on there; lvsd has to be told that name when it \
             starts the next time (--interface)",
            place.name
        );
        place.name = new;
        true
    }

    /// Interfaces that packets leave by: back where they came from, to the real servers, and where frames
    /// were lost.
    fn ways_out(&self, hops: &BTreeSet<u32>) -> BTreeSet<u32> {
        let index = |place: &Place| if_nametoindex(&*place.name).ok();
        let places = self.places.iter().filter_map(index);
        let others = hops.iter().chain(&self.devices.lossy).copied();
        places.chain(others).filter(|&index| index != 0).collect()
    }

    fn read_features(&mut self) {
        // A bond tells so whatever its ports do.
        let interfaces = &self.devices.interfaces;
        let has_ports = |index| interfaces.values().any(|port| port.master == Some(index));
        self.devices.untagging = tagged(interfaces)
            .into_iter()
            .filter(|&index| !has_ports(index))
            .filter(|&index| ethtool::takes_tags_off(&self.devices.name(index)))
            .collect();
        let Some(netdev) = &self.netdev else {
            return;
        };
        match netdev.features() {
            Ok(features) => {
                let before = self.devices.features.replace(features.clone());
                let bits = |of: &super::netdev::Features, index| {
                    of.get(&index).map_or(0, |bits| bits & NDO_XMIT)
                };
                // One that begins to take frames, or is not the same any more, has another chance.
                if let Some(before) = before {
                    self.devices
                        .forget(|index| bits(&features, index) == bits(&before, index));
                }
            }
            Err(error) => warn!("the kernel does not tell what its devices do with XDP: {error}"),
        }
    }

    /// Finds out whether an interface takes frames from an XDP program, before those of clients are lost there.
    fn try_out(&mut self, index: u32) {
        let name = self.devices.name(index);
        let mac = self.devices.interfaces.get(&index);
        let outcome = match mac.and_then(|interface| interface.mac) {
            Some(mac) => self.data_path.try_out(index, mac),
            None => Ok(Tried::Unknown),
        };
        let tells = self.devices.features.is_some();
        let why = match outcome {
            Ok(Tried::Taken) => {
                self.devices.tried.insert(index, true);
                return;
            }
            Ok(Tried::Lost(error)) if is_final(error) => {
                self.devices.lossy.insert(index);
                return warn!(
                    "{name} did not send a frame that lvsd tried it out with: {}; TC sends there",
                    describe(error)
                );
            }
            Ok(Tried::Lost(error)) => describe(error),
            Ok(Tried::Unknown) => "lost frames are not counted here".to_owned(),
            Err(error) => format!("{:#}", anyhow::Error::from(error)),
        };
        self.devices.tried.insert(index, false);
        if !tells {
            warn!("it is not known whether {name} takes frames from XDP ({why}): TC sends there");
        }
    }

    /// True if frames were lost since the last time.
    fn read_losses(&mut self) -> bool {
        let counts = self.data_path.maps.lost_frames.read();
        let losses = self.losses.update(counts, Instant::now());
        for loss in &losses {
            let name = self.devices.name(loss.interface);
            let newly = is_final(loss.error) && self.devices.lossy.insert(loss.interface);
            let Some(frames) = loss.report else { continue };
            let remedy = if newly {
                "from now on they leave there by TC".to_owned()
            } else {
                remedy(
                    &name,
                    loss.error,
                    self.devices.lossy.contains(&loss.interface),
                )
            };
            let from = if is_by_tc(loss.error) { "TC" } else { "XDP" };
            let noun = if frames == 1 { "frame" } else { "frames" };
            warn!(
                "{name} did not send {frames} {noun} that {from} handed it: {}; {remedy}",
                describe(loss.error)
            );
        }
        !losses.is_empty()
    }

    fn set_mixed(&self, mixed: bool) {
        let options = self
            .data_path
            .maps
            .config
            .word(0, offset_of!(Config, options));
        let Some(options) = options else { return };
        let before = if mixed {
            options.fetch_or(Config::MIXED, Ordering::Relaxed)
        } else {
            options.fetch_and(!Config::MIXED, Ordering::Relaxed)
        };
        // Ways to clients that are known were looked up for the other case.
        if (before & Config::MIXED != 0) != mixed {
            advance_routes(&self.data_path.maps);
        }
    }
}

//! Frames for Wireshark: pcapng, an interface each for those that have Ethernet headers and those that have none.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use lvs_api::trace::TracedPacket;
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::{DataLink, PcapError};

/// Resolution of times: a billion to the second (`if_tsresol`).
const NANOSECONDS: u8 = 9;
/// `epb_flags`, bits 0 and 1: the direction.
const CAME: u32 = 1;
const LEFT: u32 = 2;

/// A file of frames.
pub(super) struct Capture<W: Write> {
    writer: PcapNgWriter<W>,
    /// Numbers of the interfaces, by name and whether their frames have Ethernet headers.
    interfaces: HashMap<(String, bool), u32>,
    packets: u64,
}

impl<W: Write> Capture<W> {
    /// Begins a file.
    pub(super) fn new(file: W) -> io::Result<Self> {
        Ok(Self {
            writer: PcapNgWriter::new(file).map_err(plain)?,
            interfaces: HashMap::new(),
            packets: 0,
        })
    }

    /// Writes the frame of a packet as it came and, if it left, as it did.
    pub(super) fn packet(&mut self, packet: &TracedPacket) -> io::Result<()> {
        self.packets += 1;
        let came = packet.came_image.as_deref().unwrap_or_default();
        let interface = self.interface(&packet.interface, packet.ethernet)?;
        self.frame(packet, interface, came, packet.length, CAME)?;
        if let (Some(out), Some(left)) = (&packet.out, packet.left_image.as_deref()) {
            let interface = self.interface(out, true)?;
            self.frame(packet, interface, left, packet.left_length, LEFT)?;
        }
        self.writer.get_mut().flush()
    }

    /// The file is complete.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.writer.get_mut().flush()
    }

    fn interface(&mut self, name: &str, ethernet: bool) -> io::Result<u32> {
        let key = (name.to_owned(), ethernet);
        if let Some(number) = self.interfaces.get(&key) {
            return Ok(*number);
        }
        let block = InterfaceDescriptionBlock {
            linktype: if ethernet {
                DataLink::ETHERNET
            } else {
                DataLink::RAW
            },
            snaplen: 0,
            options: vec![
                InterfaceDescriptionOption::IfName(Cow::Borrowed(name)),
                InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
            ],
        };
        self.writer.write_pcapng_block(block).map_err(plain)?;
        let number = u32::try_from(self.interfaces.len()).unwrap_or(u32::MAX);
        self.interfaces.insert(key, number);
        Ok(number)
    }

    fn frame(
        &mut self,
        packet: &TracedPacket,
        interface: u32,
        image: &[u8],
        length: u32,
        direction: u32,
    ) -> io::Result<()> {
        // Both images of a packet have its number.
        let mut comment = format!("{}: {}", packet.verdict, packet.explanation);
        if let Some(service) = packet.service {
            let _ = write!(comment, "; service {service}");
        }
        if let Some(server) = packet.server {
            let _ = write!(comment, "; server {server}");
        }
        let _ = write!(comment, "; packet {}", self.packets);
        let block = EnhancedPacketBlock {
            interface_id: interface,
            timestamp: Duration::from_nanos(packet.time),
            original_len: length,
            data: Cow::Borrowed(image),
            options: vec![
                EnhancedPacketOption::Comment(Cow::Borrowed(&comment)),
                EnhancedPacketOption::Flags(direction),
            ],
        };
        self.writer.write_pcapng_block(block).map_err(plain)?;
        Ok(())
    }
}

/// An error of the output as one of its own: a pipe that is closed ends quietly.
fn plain(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        error => io::Error::other(error.to_string()),
    }
}

//! Prepares the far end of the director's veth pair for frames without a socket buffer.
//!
//! The kernel delivers what a program sends back by `XDP_TX` only if an XDP program is attached to the
//! receiving end: without one the frames lie in a ring until something else wakes the receiver. (For
//! redirected frames GRO is enough.) So the lab attaches one there that passes everything.

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya::programs::{Xdp, XdpMode};
use object::write::{Object, Symbol, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope,
};

use super::namespace::Namespace;

const NAME: &str = "pass";

/// `r0 = XDP_PASS; exit`: eight bytes each.
const INSTRUCTIONS: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 2, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];

/// Programs attached to ports, as long as this lives.
pub(super) struct Receivers {
    _programs: Vec<Ebpf>,
}

impl Receivers {
    pub(super) fn attach(namespace: &Namespace, ports: &[String]) -> Result<Self> {
        let object = pass_everything()?;
        let attach = || {
            ports
                .iter()
                .map(|port| attach(&object, port))
                .collect::<Result<_>>()
        };
        let programs = namespace.enter(attach)?;
        Ok(Self {
            _programs: programs?,
        })
    }
}

fn attach(object: &[u8], port: &str) -> Result<Ebpf> {
    let mut programs = Ebpf::load(object).context("cannot load the receiving program")?;
    let program: &mut Xdp = programs
        .program_mut(NAME)
        .context("the receiving program is not in its object")?
        .try_into()?;
    program.load()?;
    program
        .attach(port, XdpMode::Driver)
        .with_context(|| format!("cannot attach the receiving program to {port}"))?;
    Ok(programs)
}

/// An object file as a compiler would make it of a program with two instructions.
fn pass_everything() -> Result<Vec<u8>> {
    let mut object = Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
    let code = object.add_section(Vec::new(), b"xdp".to_vec(), SectionKind::Text);
    object.append_section_data(code, INSTRUCTIONS.as_flattened(), 8);
    object.add_symbol(Symbol {
        name: NAME.into(),
        value: 0,
        size: INSTRUCTIONS.as_flattened().len() as u64,
        kind: SymbolKind::Text,
        scope: SymbolScope::Linkage,
        weak: false,
        section: SymbolSection::Section(code),
        flags: SymbolFlags::None,
    });
    let license = object.add_section(Vec::new(), b"license".to_vec(), SectionKind::Data);
    object.append_section_data(license, b"GPL\0", 1);
    object
        .write()
        .context("cannot write the receiving program's object")
}

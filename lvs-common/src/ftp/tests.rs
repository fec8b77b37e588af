use proptest::prelude::*;
use std::format;
use std::string::String;
use std::vec::Vec;

use super::*;
use crate::family::{V4, V6};

/// Reads a segment of a client or server as the packet path does.
fn read(by_server: bool, family: u8, segment: &[u8]) -> Option<Reader> {
    let (verb, rest) = segment.split_first_chunk()?;
    let message = if by_server {
        Message::of_server(*verb)
    } else {
        Message::of_client(*verb)
    };
    let mut reader = Reader::new(message?, family);
    for byte in rest {
        if !reader.read(*byte) {
            break;
        }
    }
    reader.message().map(|_| reader)
}

fn port4(by_server: bool, segment: &str, address: [u8; 4]) -> Option<u16> {
    let reader = read(by_server, 4, segment.as_bytes())?;
    assert!(reader.names::<V4>(address), "{segment:?}");
    Some(reader.port().get())
}

fn port6(segment: &str, address: &str) -> Option<u16> {
    let reader = read(false, 6, segment.as_bytes())?;
    let address: std::net::Ipv6Addr = address.parse().expect("an address");
    assert!(reader.names::<V6>(address.octets()), "{segment:?}");
    Some(reader.port().get())
}

#[test]
fn messages_of_servers_and_clients_are_read() {
    for (segment, port) in [
        // vsftpd, proftpd, pure-ftpd.
        ("227 Entering Passive Mode (10,0,0,1,200,13).\r\n", 51_213),
        ("227 Entering Passive Mode (10,0,0,1,4,0)", 1024),
        ("227 (010,00,0,001,255,255)\r\n", 65_535),
    ] {
        assert_eq!(port4(true, segment, [10, 0, 0, 1]), Some(port), "{segment}");
    }
    for segment in [
        "229 Entering Extended Passive Mode (|||6446|)\r\n",
        "229 (!!!6446!)",
    ] {
        for family in [4, 6] {
            let reader = read(true, family, segment.as_bytes()).expect("read");
            assert_eq!(reader.port().get(), 6446);
            assert_eq!(reader.message(), Some(Message::ExtendedPassive));
        }
    }
    for segment in [
        "PORT 198,51,100,7,156,64\r\n",
        "port 198,51,100,7,156,64\n",
        "PoRt   198,51,100,7,156,64\rmore",
        "EPRT |1|198.51.100.7|40000|\r\n",
        "eprt $1$198.51.100.7$40000$\n",
    ] {
        assert_eq!(
            port4(false, segment, [198, 51, 100, 7]),
            Some(40_000),
            "{segment}"
        );
    }
    for (text, address) in [
        ("2001:db8::7", "2001:db8::7"),
        ("2001:0DB8:0:0:0:0:0:0007", "2001:db8::7"),
        ("::1", "::1"),
        ("fe80::", "fe80::"),
        ("::", "::"),
        ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
        ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"),
        ("1::3:4:5:6:7:8", "1:0:3:4:5:6:7:8"),
    ] {
        let segment = format!("EPRT |2|{text}|40000|\r\n");
        assert_eq!(port6(&segment, address), Some(40_000), "{segment}");
    }
}

#[test]
fn whatever_is_none_is_none() {
    for segment in [
        "",
        "227",
        "227-Entering Passive Mode (10,0,0,1,200,13).\r\n",
        "226 Done.\r\n227 Entering Passive Mode (10,0,0,1,200,13).\r\n",
        "227 Entering\r\n Passive Mode (10,0,0,1,200,13).\r\n",
        "227 Entering Passive Mode 10,0,0,1,200,13\r\n",
        "227 Entering Passive Mode (10,0,0,1,200",
        "227 Entering Passive Mode (10,0,0,1,200,13",
        "227 Entering Passive Mode (10,0,0,1,200)",
        "227 Entering Passive Mode (10,0,0,1,200,13,14)",
        "227 Entering Passive Mode (10,0,0,256,200,13)",
        "227 Entering Passive Mode (10,0,0,1,256,13)",
        "227 Entering Passive Mode (10,0,0,0001,200,13)",
        "227 Entering Passive Mode (10,0,,1,200,13)",
        "227 Entering Passive Mode (10,0,0,1,3,255)",
        "227 Entering Passive Mode ( 10,0,0,1,200,13)",
        "229 Entering Extended Passive Mode (|||65536|)",
        "229 Entering Extended Passive Mode (|||1023|)",
        "229 Entering Extended Passive Mode (|||006446|)",
        "229 Entering Extended Passive Mode (||||)",
        "229 Entering Extended Passive Mode (|1||6446|)",
        "229 Entering Extended Passive Mode (|||6446)",
        "229 Entering Extended Passive Mode (11164461)",
        "PORT 198,51,100,7,156,64\r\n",
    ] {
        assert!(read(true, 4, segment.as_bytes()).is_none(), "{segment}");
    }
    for segment in [
        "PORT198,51,100,7,156,64\r\n",
        "PORT 198,51,100,7,156,64",
        "PORT 198,51,100,7,156,64 \r\n",
        "PORT 198,51,100,7,3,255\r\n",
        "XPORT 198,51,100,7,156,64\r\n",
        " PORT 198,51,100,7,156,64\r\n",
        "EPRT |1|198.51.100.7|40000|",
        "EPRT |1|198.51.100|40000|\r\n",
        "EPRT |1|198.51.100.7.8|40000|\r\n",
        "EPRT |1|198.51.100.7|1023|\r\n",
        "EPRT |1|198.51.100.7|400000|\r\n",
        "EPRT |2|198.51.100.7|40000|\r\n",
        "EPRT |2|2001:db8::7|40000|\r\n",
        "EPRT 1198.51.100.71400001\r\n",
        "227 Entering Passive Mode (10,0,0,1,200,13)",
    ] {
        assert!(read(false, 4, segment.as_bytes()).is_none(), "{segment}");
    }
    for text in [
        "",
        ":",
        ":1",
        "1:",
        ":::",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "1:2:3:4:5:6:7:8::",
        "1::2::3",
        "1:::2",
        "12345::",
        "g::",
        "::ffff:198.51.100.7",
        "fe80::1%eth0",
    ] {
        let segment = format!("EPRT |2|{text}|40000|\r\n");
        assert!(read(false, 6, segment.as_bytes()).is_none(), "{segment}");
    }
    assert!(read(false, 6, b"EPRT |1|198.51.100.7|40000|\r\n").is_none());
    assert!(read(false, 6, b"PORT 198,51,100,7,156,64\r\n").is_none());
    assert!(read(true, 6, b"227 Entering Passive Mode (10,0,0,1,200,13)").is_none());
}

#[test]
fn an_address_is_compared_whole() {
    let reader = read(false, 4, b"PORT 198,51,100,7,156,64\r\n").expect("read");
    assert!(!reader.names::<V4>([198, 51, 100, 8]));
    assert!(!reader.names::<V4>([199, 51, 100, 7]));
    let reader = read(false, 6, b"EPRT |2|1:2:3:4::8|40000|\r\n").expect("read");
    for place in 0..16 {
        let mut address = [0, 1, 0, 2, 0, 3, 0, 4, 0, 0, 0, 0, 0, 0, 0, 8];
        assert!(reader.names::<V6>(address));
        address[place] ^= 0x10;
        assert!(!reader.names::<V6>(address), "{place}");
    }
}

/// A reply to PASV with another address, if it has room for that.
fn readdressed(segment: &[u8], address: [u8; 4]) -> Option<Vec<u8>> {
    let mut reader = read(true, 4, segment)?;
    reader.begin_address();
    for number in address {
        reader.write(number);
    }
    // What stands before a short reply is the end of the TCP header.
    let mut bytes = [&[0xee; 20], segment].concat();
    let place = 20 + reader.comma() as usize - ADDRESS_TEXT;
    let text: &mut [u8; ADDRESS_TEXT] = bytes[place..].first_chunk_mut().expect("before");
    *text = reader.readdressed(*text)?;
    assert_eq!(bytes[..20], [0xee; 20]);
    Some(bytes.split_off(20))
}

#[test]
fn a_reply_stays_as_long_as_it_is() {
    let to = |segment: &str, address| {
        let after = readdressed(segment.as_bytes(), address)?;
        Some(String::from_utf8(after).expect("text"))
    };
    let reply = "227 Entering Passive Mode (10,0,0,1,200,13).\r\n";
    let expect = |text: &str| Some(String::from(text));
    assert_eq!(
        to(reply, [192, 0, 2, 1]),
        expect("227 Entering Passive Mode(192,0,2,1,200,13).\r\n")
    );
    assert_eq!(
        to(reply, [192, 10, 200, 101]),
        expect("227 Entering Passive(192,10,200,101,200,13).\r\n")
    );
    assert_eq!(
        to(reply, [1, 2, 3, 4]),
        expect("227 Entering Passive Mode  (1,2,3,4,200,13).\r\n")
    );
    assert_eq!(
        to("227 (1,2,3,4,200,13)", [1, 2, 3, 5]),
        expect("227 (1,2,3,5,200,13)")
    );
    assert_eq!(
        to("227 = (1,2,3,4,200,13)", [11, 22, 3, 5]),
        expect("227 (11,22,3,5,200,13)")
    );
    assert_eq!(to("227 (1,2,3,4,200,13)", [11, 2, 3, 5]), None);
}

proptest! {
    #[test]
    fn a_reply_with_another_address_says_that(
        text in "[ -'*-~]{0,40}",
        old: [u8; 4],
        new: [u8; 4],
        port in 1024..=u16::MAX,
        rest in "[\\.\r\n]{0,3}",
    ) {
        let said = |[a, b, c, d]: [u8; 4]| {
            format!("({a},{b},{c},{d},{},{})", port >> 8, port & 255)
        };
        let segment = format!("227 {text}{}{rest}", said(old));
        let fits = said(new).len() <= said(old).len() + text.len();
        let after = readdressed(segment.as_bytes(), new);
        prop_assert_eq!(after.is_some(), fits);
        if let Some(after) = after {
            prop_assert_eq!(after.len(), segment.len());
            let after = String::from_utf8(after).expect("text");
            prop_assert!(after.ends_with(&format!("{}{rest}", said(new))), "{after:?}");
            let (before, _) = after.split_once('(').expect("a bracket");
            prop_assert!(format!("227 {text}").starts_with(before.trim_end_matches(' ')), "{after:?}");
            let reader = read(true, 4, after.as_bytes()).expect("still one");
            prop_assert!(reader.names::<V4>(new));
            prop_assert_eq!(reader.port().get(), port);
        }
    }

    #[test]
    fn any_bytes_are_read(by_server: bool, family in prop_oneof![Just(4_u8), Just(6)], bytes: Vec<u8>) {
        for verb in ["227 ", "229 ", "PORT ", "EPRT |2|", "EPRT |1|", ""] {
            let segment = [verb.as_bytes(), &bytes].concat();
            if let Some(reader) = read(by_server, family, &segment) {
                prop_assert!(reader.port().get() >= FIRST_PORT);
            }
        }
    }

    #[test]
    fn addresses_are_read_as_they_are_written(address: [u16; 8], zeroes in 0_u8..=255, port in 1024..=u16::MAX) {
        let mut groups = address;
        for (place, group) in groups.iter_mut().enumerate() {
            if zeroes >> place & 1 != 0 { *group = 0; }
        }
        let address = std::net::Ipv6Addr::from(groups);
        let text = format!("{address}");
        prop_assume!(!text.contains('.'));
        let segment = format!("EPRT |2|{text}|{port}|\r\n");
        prop_assert_eq!(port6(&segment, &text), Some(port));
    }
}

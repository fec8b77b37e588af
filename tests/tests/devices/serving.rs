//! What a director serves, whatever its devices are.

use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use lvs_tests::lab::addresses::{FAMILIES, METHODS, virtual_address};
use lvs_tests::lab::{Client, Lab};
use lvs_tests::{eventually, pairs};

/// Bytes of a small transfer.
const PART: usize = 1 << 20;

/// Requests, a large download and a large upload by every method, over both families.
#[track_caller]
pub(crate) fn expect_all_served(lab: &Lab) {
    expect_answers(lab);
    let original = fs::read(lab.large_file()).unwrap();
    for (family, method) in pairs(FAMILIES, METHODS) {
        let address = virtual_address(family, method);
        let file = lab
            .client
            .download(&Client::url(address, "/large"), "downloaded");
        let file = file.unwrap_or_else(|error| panic!("{method:?} over {family:?}: {error:#}"));
        assert!(
            fs::read(file).unwrap() == original,
            "{method:?} over {family:?} differs"
        );
        lab.client
            .upload(&lab.large_file(), &Client::url(address, "/upload/file"))
            .unwrap_or_else(|error| panic!("{method:?} over {family:?}: {error:#}"));
        let uploads = lab
            .servers
            .iter()
            .map(|server| server.uploads().join("file"));
        let arrived: Vec<_> = uploads.filter(|file| file.exists()).collect();
        assert_eq!(arrived.len(), 1, "{method:?} over {family:?}");
        assert!(
            fs::read(&arrived[0]).unwrap() == original,
            "{method:?} over {family:?} differs"
        );
        fs::remove_file(&arrived[0]).unwrap();
    }
}

#[track_caller]
pub(crate) fn expect_answers(lab: &Lab) {
    for (family, method) in pairs(FAMILIES, METHODS) {
        let address = virtual_address(family, method);
        let answers = lab.client.get_many(address, 6);
        let answers =
            answers.unwrap_or_else(|error| panic!("{method:?} over {family:?}: {error:#}"));
        assert_eq!(answers.len(), 6, "{method:?} over {family:?}");
        let answer = lab.client.ask((address, 80).into(), "hello");
        answer.unwrap_or_else(|error| panic!("UDP, {method:?} over {family:?}: {error:#}"));
    }
}

#[track_caller]
pub(crate) fn expect_status(lab: &Lab, words: &str) {
    let status = lab.director.lvsadm("--status").unwrap();
    assert!(status.contains(words), "{status}");
}

/// The status says so before long.
#[track_caller]
pub(crate) fn becomes(lab: &Lab, words: &str) {
    let says = || lab.director.lvsadm("--status").unwrap().contains(words);
    assert!(eventually(Duration::from_secs(20), says), "never {words}");
}

/// A request, a download and an upload of a megabyte over TCP.
#[track_caller]
pub(crate) fn expect_transfers(lab: &Lab, address: IpAddr, sentence: &str) {
    let original = fs::read(lab.large_file()).unwrap();
    let part = lab.folder().join("part");
    fs::write(&part, &original[..PART]).unwrap();
    lab.client
        .get(address)
        .unwrap_or_else(|error| panic!("{sentence}: {error:#}"));
    let downloaded = lab.folder().join("downloaded-part");
    let (range, file) = (format!("0-{}", PART - 1), downloaded.to_string_lossy());
    let url = Client::url(address, "/large");
    let curl = [
        "-sSf",
        "--max-time",
        "60",
        "--range",
        &range,
        "-o",
        &file,
        &url,
    ];
    lab.client
        .namespace()
        .run("curl", &curl)
        .unwrap_or_else(|error| panic!("{sentence}: {error:#}"));
    assert!(
        fs::read(&downloaded).unwrap() == original[..PART],
        "{sentence}"
    );
    lab.client
        .upload(&part, &Client::url(address, "/upload/part"))
        .unwrap_or_else(|error| panic!("{sentence}: {error:#}"));
    let uploads = lab
        .servers
        .iter()
        .map(|server| server.uploads().join("part"));
    let arrived: Vec<_> = uploads.filter(|file| file.exists()).collect();
    assert_eq!(arrived.len(), 1, "{sentence}");
    assert!(
        fs::read(&arrived[0]).unwrap() == original[..PART],
        "{sentence}"
    );
    fs::remove_file(&arrived[0]).unwrap();
}

/// The same by every method, over both families, and a datagram.
#[track_caller]
pub(crate) fn expect_served(lab: &Lab) {
    expect_answers(lab);
    for (family, method) in pairs(FAMILIES, METHODS) {
        let sentence = format!("{method:?} over {family:?}");
        expect_transfers(lab, virtual_address(family, method), &sentence);
    }
}

//! Large downloads and uploads arrive whole.

use std::fs;

use lvs_tests::lab::addresses::{FAMILIES, METHODS, virtual_address};
use lvs_tests::lab::client::download_source;
use lvs_tests::lab::director::every_service;
use lvs_tests::lab::{Arms, Client, Lab};
use lvs_tests::pairs;

#[test]
fn a_large_download_arrives_whole_by_every_method() {
    let Some(lab) = Lab::for_story(Arms::Two, &every_service()) else {
        return;
    };
    download_by_every_method(&lab);
}

#[test]
fn a_large_upload_arrives_whole_by_every_method() {
    let Some(lab) = Lab::for_story(Arms::Two, &every_service()) else {
        return;
    };
    upload_by_every_method(&lab);
}

/// There the director sees segments that are merged, larger than any frame.
#[test]
fn a_bridge_carries_large_transfers_too() {
    let Some(lab) = Lab::for_story(Arms::Bridge, &every_service()) else {
        return;
    };
    download_by_every_method(&lab);
    upload_by_every_method(&lab);
}

fn download_by_every_method(lab: &Lab) {
    let original = fs::read(lab.large_file()).unwrap();
    for (family, method) in pairs(FAMILIES, METHODS) {
        let url = Client::url(virtual_address(family, method), "/large");
        let file = lab.client.download(&url, "downloaded").unwrap();
        // Not assert_eq: nobody wants to read megabytes.
        assert!(
            fs::read(file).unwrap() == original,
            "{method:?} over {family:?} differs"
        );
    }
}

/// Through a tunnel this needs the director to tell the client how large packets may be: the
/// client's own are too large for another header.
fn upload_by_every_method(lab: &Lab) {
    let original = fs::read(lab.large_file()).unwrap();
    for (family, method) in pairs(FAMILIES, METHODS) {
        let url = Client::url(virtual_address(family, method), "/upload/file");
        lab.client
            .upload(&lab.large_file(), &url)
            .unwrap_or_else(|error| {
                panic!("{method:?} over {family:?}: {error:#}");
            });
        let arrived: Vec<_> = lab
            .servers
            .iter()
            .filter_map(|server| fs::read(server.uploads().join("file")).ok())
            .collect();
        assert_eq!(
            arrived.len(),
            1,
            "{method:?} over {family:?}: one server has the file"
        );
        assert!(arrived[0] == original, "{method:?} over {family:?} differs");
        for server in &lab.servers {
            let _ = fs::remove_file(server.uploads().join("file"));
        }
    }
}

#[test]
fn downloads_at_the_same_time_do_not_mix() {
    let Some(lab) = Lab::for_story(Arms::One, &every_service()) else {
        return;
    };
    let original = fs::read(lab.large_file()).unwrap();
    let mut downloads = Vec::new();
    for (family, method) in pairs(FAMILIES, METHODS) {
        let url = Client::url(virtual_address(family, method), "/slow");
        let name = format!("{family:?}-{method:?}");
        downloads.push(lab.client.start_download(&url, &name).unwrap());
    }
    for (file, mut curl) in downloads {
        assert!(curl.wait().unwrap().success());
        let source = download_source(&file);
        assert!(
            fs::read(&file).unwrap() == original,
            "{file:?} from {source:?} differs"
        );
    }
}

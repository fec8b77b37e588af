//! The lab itself: hosts reach each other as its drawing says, and nothing is left behind.

use lvs_tests::lab::addresses::{FAMILIES, server};
use lvs_tests::lab::{Arms, Lab, available};

#[test]
fn the_client_reaches_every_real_server_through_the_router() {
    if !available() {
        return;
    }
    for arms in [Arms::One, Arms::Two] {
        let lab = Lab::new(arms).unwrap();
        for family in FAMILIES {
            for number in 1..=Lab::SERVERS {
                let answer = lab.client.get(server(family, number)).unwrap();
                assert_eq!(answer, format!("server{number}"));
                let asked = (server(family, number), 80).into();
                assert_eq!(
                    lab.client.ask(asked, "hello").unwrap(),
                    format!("server{number} hello")
                );
            }
        }
    }
}

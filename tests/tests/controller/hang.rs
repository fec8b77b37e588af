//! A server that hangs while others answer is found before the time of its check is over.

use std::time::{Duration, Instant};

use lvs_tests::eventually;

use crate::health_lab::{HealthLab, PATIENCE, reals, virtual_service};

/// On a machine that stands still the others are late, too: then the server has its whole time, as it should.
const TRIES: u32 = 5;

/// Least number of checks that a server passed.
fn passed(health: &HealthLab) -> Option<u64> {
    let [service] = &*health.health().services else {
        return None;
    };
    let passed = service.servers.iter().map(|server| server.checks_passed);
    passed.min()
}

#[test]
fn a_server_that_hangs_while_others_answer_is_found_out_and_comes_back() {
    let lines = format!(
        "checktype = negotiate\nservice = http\nrequest = \"/\"\n{}",
        reals(&[1, 2, 3])
    );
    let file = "preset = modern\n".to_owned() + &virtual_service(&lines);
    let Some(health) = HealthLab::of(&file) else {
        return;
    };
    for _ in 0..TRIES {
        health.becomes("1=5 2=5 3=5");
        // How long answers take has to be known.
        let known = || passed(&health).is_some_and(|passed| passed >= 6);
        assert!(eventually(PATIENCE, known), "{:?}", health.health());
        let hang = Instant::now();
        health.lab.servers[0].hang().unwrap();
        health.becomes("2=5 3=5");
        println!("taken out after {:?}", hang.elapsed());
        health.lab.servers[0].wake().unwrap();
        // The log is written by another thread.
        let found = || health.log().contains("hangs: nothing in");
        if eventually(Duration::from_secs(2), found) {
            health.becomes("1=5 2=5 3=5");
            return;
        }
    }
    panic!("it was never found to hang:\n{}", health.log());
}

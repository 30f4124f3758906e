//! All that was ever tried on a target and led somewhere new, or did harm.
#![allow(clippy::unwrap_used, reason = "a test")]

use yrelay_fuzz::{TARGETS, corpus};

#[test]
fn every_target_takes_what_was_ever_tried() {
    for target in TARGETS {
        let inputs = corpus::read(target.name).unwrap();
        assert!(inputs.len() >= 30, "{}: {} inputs are kept only", target.name, inputs.len());
        for input in inputs {
            println!("{} {}", target.name, corpus::line(&input).trim_end()); // shown if it fails
            (target.run)(&input);
        }
    }
}

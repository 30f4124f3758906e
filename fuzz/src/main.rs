//! One target under libFuzzer: `fuzz/run TARGET` builds and starts it.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use yrelay_fuzz::{TARGETS, Target};

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("TARGET").unwrap_or_default();
    let target = TARGETS.iter().find(|target| target.name == name);
    target.unwrap_or_else(|| panic!("no target is called {name:?}: see fuzz/src/lib.rs"))
});

fuzz_target!(|bytes: &[u8]| (TARGET.run)(bytes));

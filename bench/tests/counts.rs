//! Each path that is counted does its work. What it takes is for valgrind to say.
#![cfg(target_os = "linux")]

use yrelay_bench::counts::paths::{Material, PATHS};
use yrelay_bench::script;

#[test]
fn every_path_does_its_work() {
    let work = script::editing(script::author_id(0, 0), &[], 200);
    let material = Material::new(work.updates).unwrap();
    for path in PATHS {
        let operations = (path.run)(&material);
        assert!(operations.is_ok_and(|count| count > 0), "{}", path.name);
    }
}

//! Waiting for what comes by itself.

use std::time::{Duration, Instant};

/// After so long something hangs. However slow the machine is, nothing that a test waits for takes this long.
pub const HANG: Duration = Duration::from_secs(600);

/// How often it is looked whether something has come.
const LOOK: Duration = Duration::from_millis(10);

/// Waits until it is so.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < HANG, "it hangs; not after {HANG:?}: {what}");
        std::thread::sleep(LOOK);
    }
}

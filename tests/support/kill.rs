//! Processes that are killed once something can be seen of them.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::wait::HANG;

/// How often it is looked whether it is time.
const LOOK: Duration = Duration::from_millis(1);

/// Starts the command, and sends it a signal as soon as `is_time`; whether it was still there then. One that was over before is not killed.
pub fn kill_when(command: &mut Command, signal: i32, mut is_time: impl FnMut() -> bool) -> bool {
    let mut process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    while !is_time() {
        if process.try_wait().unwrap().is_some() {
            return false;
        }
        assert!(began.elapsed() < HANG, "it hangs: {command:?}");
        std::thread::sleep(LOOK);
    }
    send(&process, signal);
    process.wait().unwrap().code().is_none()
}

/// Sends a signal to a child that has not been waited for.
#[expect(unsafe_code, reason = "the standard library sends SIGKILL only")]
pub fn send(process: &Child, signal: i32) {
    // SAFETY: takes two numbers; the child has not been waited for, so that the id is still its own
    let sent = unsafe { libc::kill(process.id().cast_signed(), signal) };
    assert_eq!(sent, 0);
}

//! This test program, to be started once more as a child process.

use std::path::Path;
use std::process::Command;

/// A command that starts the program this process runs. A build may have replaced the file meanwhile, so on Linux it is started from the
/// process itself.
pub fn own_program() -> Command {
    let running = Path::new("/proc/self/exe");
    if running.exists() { Command::new(running) } else { Command::new(std::env::current_exe().unwrap()) }
}

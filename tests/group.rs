//! A process that starts others, all of which end with the test.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};

pub struct Group(pub Child);

impl Group {
    pub fn spawn(command: &mut Command) -> Group {
        Group(command.process_group(0).spawn().unwrap())
    }

    fn id(&self) -> i32 {
        self.0.id().cast_signed()
    }

    /// Whether a process of the group is left.
    #[expect(unsafe_code, reason = "there is no other way to ask for a group")]
    pub fn is_left(id: i32) -> bool {
        // SAFETY: a system call that sends nothing
        unsafe { libc::kill(-id, 0) == 0 }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // SAFETY: a system call on the group of a child that is still ours
        #[expect(unsafe_code, reason = "there is no other way to end a group")]
        unsafe {
            libc::kill(-self.id(), libc::SIGKILL);
        }
        let _ = self.0.wait();
    }
}

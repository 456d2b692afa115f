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

    /// Whether a process of a group is left. One that has ended and that nobody has asked about is none.
    pub fn is_left(id: i32) -> bool {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let mut stats = processes.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
        // pid (name) state parent group …; a name may have anything in it
        stats.any(|stat| {
            let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
            fields.first().is_some_and(|state| *state != "Z") && fields.get(2) == Some(&id.to_string().as_str())
        })
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

//! The real command, killed at random moments.

use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use super::crowd::command;
use super::house::{Backend, House};
use super::sales::Sales;
use crate::fault::Plan;

/// The command as cargo built it beside this test.
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.ancestors().nth(2).unwrap();
    let path = folder.join(format!("tidemark{}", std::env::consts::EXE_SUFFIX));
    assert!(path.exists(), "{} is not there: build it with `cargo build -p tidemark`", path.display());
    path
}

/// Houses, and how often the run is killed in each of them before it may finish. What one run has done, the next need not do, so that
/// later kills fall on later steps.
const HOUSES: usize = 4;
const KILLS: usize = 5;

#[test]
fn killed_at_any_moment_the_next_run_ends_as_a_clean_one() {
    let sales = Sales::new(1500);
    let clean = House::new(Backend::Folder);
    clean.run(&sales, 0, &Plan::clean()).unwrap();
    clean.run(&sales, 1, &Plan::clean()).unwrap();
    let clean = clean.standing();
    assert_eq!(clean.rows("sales"), 1500 * 3);

    let (mut random, mut killed) = (Random(7), [0, 0]);
    // about as long as a run takes on this machine now: longer after each that was killed, shorter after each that was not
    let mut window = Duration::from_secs(1);
    for number in 0..HOUSES {
        let house = House::new(Backend::Folder);
        for kill in 0..KILLS * 2 {
            let (morning, signal) = (kill / KILLS, [libc::SIGKILL, libc::SIGINT][(number + kill) % 2]);
            if kill == KILLS {
                finish(&house, &sales, 0);
            }
            let mut process =
                command(&house, &sales, morning).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(random.below(window));
            let was_there = kill_with(&mut process, signal);
            killed[morning] += usize::from(was_there);
            window = window.mul_f64(if was_there { 1.1 } else { 0.7 });
        }
        finish(&house, &sales, 1);
        house.standing().assert_equal(&clean);
    }
    println!("killed {killed:?} of {} runs", HOUSES * KILLS * 2);
    assert!(killed.iter().sum::<usize>() >= HOUSES * KILLS, "most runs were over before they were killed: {killed:?}");
}

fn finish(house: &House, sales: &Sales, morning: usize) {
    let output = command(house, sales, morning).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Whether the process was still there to be killed.
#[expect(unsafe_code, reason = "the standard library sends SIGKILL only")]
fn kill_with(process: &mut Child, signal: i32) -> bool {
    // SAFETY: sends a signal to a child that has not been waited for, so that the id is still its own
    let sent = unsafe { libc::kill(process.id().cast_signed(), signal) };
    assert_eq!(sent, 0);
    process.wait().unwrap().code().is_none()
}

/// The same numbers at every run of the test.
struct Random(u64);

impl Random {
    fn below(&mut self, most: Duration) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        most.mul_f64((self.0 >> 11) as f64 / (1u64 << 53) as f64)
    }
}

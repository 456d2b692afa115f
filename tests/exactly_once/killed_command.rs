//! The real command, killed at moments all over its run.

use std::path::PathBuf;

use super::concurrent_runs::command;
use crate::support::daily_sales::sales::Sales;
use crate::support::daily_sales::{Backend, House};
use crate::support::faulty_store::Plan;
use crate::support::kill::kill_when;
use crate::support::project::walk;
use crate::support::random::Random;
use crate::support::sample::is_whole;

/// The command as cargo built it beside this test.
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.ancestors().nth(2).unwrap();
    let path = folder.join(format!("tidemark{}", std::env::consts::EXE_SUFFIX));
    assert!(path.exists(), "{} is not there: build it with `cargo build -p tidemark`", path.display());
    path
}

/// Houses at least, and how often the run of a morning is killed in each of them before it may finish. What one run has done, the next need
/// not do, so that later kills fall on later steps.
const HOUSES: usize = 2;
const KILLS: usize = 5;
/// Kills of each morning, in as many houses as that takes; four times as many with `TIDEMARK_CRASH=all`.
const WANTED: usize = 8;
const MOST_HOUSES: usize = 50;

#[test]
fn killed_at_any_moment_the_next_run_ends_as_a_clean_one() {
    let sales = Sales::new(1500);
    let clean = House::new(Backend::Folder);
    let files = [0, 1].map(|morning| {
        clean.run(&sales, morning, &Plan::clean()).unwrap();
        files(&clean)
    });
    let clean = clean.standing();
    assert_eq!(clean.rows("sales"), 1500 * 3);

    let (mut random, mut killed, mut houses) = (Random::new(7), [0, 0], 0);
    let wanted = if is_whole() { 4 * WANTED } else { WANTED };
    while houses < HOUSES || killed.iter().any(|killed| *killed < wanted) {
        assert!(houses < MOST_HOUSES, "runs are over before they can be killed: {killed:?}");
        let house = House::new(Backend::Folder);
        for morning in [0, 1] {
            for kill in 0..KILLS {
                let signal = [libc::SIGKILL, libc::SIGINT][(houses + kill) % 2];
                if !kill_in_the_middle(&house, &sales, morning, signal, &mut random, files[morning]) {
                    break;
                }
                killed[morning] += 1;
            }
            finish(&house, &sales, morning);
        }
        house.standing().assert_equal(&clean);
        houses += 1;
    }
    println!("killed {killed:?} runs in {houses} houses");
}

/// Kills a run once it has written some of the files that it has yet to write; `all` are there after a morning without fault. Whether it was
/// still there to be killed.
fn kill_in_the_middle(
    house: &House,
    sales: &Sales,
    morning: usize,
    signal: i32,
    random: &mut Random,
    all: usize,
) -> bool {
    let there = files(house);
    let wanted = there + random.below(all.saturating_sub(there).max(1));
    // between two files as well
    let mut looks = random.below(20);
    kill_when(&mut command(house, sales, morning), signal, || {
        let is_written = files(house) >= wanted;
        looks = looks.saturating_sub(usize::from(is_written));
        is_written && looks == 0
    })
}

/// Files of the lake and of the reports.
fn files(house: &House) -> usize {
    ["lake", "reports"].map(|name| walk(&house.path(name)).len()).into_iter().sum()
}

fn finish(house: &House, sales: &Sales, morning: usize) {
    let output = command(house, sales, morning).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

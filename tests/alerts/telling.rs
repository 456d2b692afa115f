//! Who is told, when, and how often.

mod channels;
mod flapping;
mod routing;
mod waiting;

use jiff::SignedDuration;
use tidemark_flow::ErrorKind;

use super::record::run;
use super::tower::Tower;

/// A run of a minute ago that failed for good.
fn fails(tower: &Tower, pipeline: &str) {
    let began = (tower.now() - SignedDuration::from_mins(1)).to_string();
    tower.ran(run(pipeline, "clean", &began).failed(ErrorKind::Data, "a page is damaged"));
}

/// And one that went well.
fn ends_well(tower: &Tower, pipeline: &str) {
    let began = (tower.now() - SignedDuration::from_mins(1)).to_string();
    tower.ran(run(pipeline, "clean", &began));
}

/// It fails, and the watcher looks, and so on; each five minutes after the other.
fn turns(tower: &Tower, pipeline: &str, times: usize) {
    for _ in 0..times {
        fails(tower, pipeline);
        tower.tick();
        tower.after(5);
        ends_well(tower, pipeline);
        tower.tick();
        tower.after(5);
    }
}

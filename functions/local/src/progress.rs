//! A progress bar while a step runs, and a line when it has ended. The bar is shown on stderr, and only on a terminal.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tidemark_flow::{Progress, RunRecord};

use crate::print;

pub(crate) struct Bar {
    bar: ProgressBar,
    /// Whether a line is printed as soon as a step has ended.
    prints: bool,
}

impl Bar {
    pub(crate) fn new() -> Bar {
        Bar::with_lines(true)
    }

    /// Without lines, for callers that print the records later.
    pub(crate) fn without_lines() -> Bar {
        Bar::with_lines(false)
    }

    fn with_lines(prints: bool) -> Bar {
        let target =
            if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes}  {bytes_per_sec}") {
            bar.set_style(style.progress_chars("━╸─"));
        }
        Bar { bar, prints }
    }
}

impl Progress for Bar {
    fn begin(&self, pipeline: &str, step: &str) {
        self.bar.reset();
        self.bar.set_length(0);
        self.bar.set_message(format!("{pipeline}  {step:<22}"));
        self.bar.tick();
    }

    fn expect(&self, bytes: u64) {
        self.bar.inc_length(bytes);
    }

    fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    fn end(&self, record: &RunRecord) {
        if self.prints {
            self.bar.suspend(|| print::record(record));
        }
        self.bar.set_message("");
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

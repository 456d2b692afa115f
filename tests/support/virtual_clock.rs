//! A virtual clock with a script: things that happen in the world at their time.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::mpsc::Receiver;

use jiff::Timestamp;
use tidemark::dev::{Signal, Time, Virtual};

type Act<'a> = Box<dyn FnOnce() + Send + 'a>;

/// Passes when nothing is being done; what is on the script happens before whatever else is due at that time.
pub struct Script<'a> {
    clock: Virtual,
    acts: Mutex<BTreeMap<(Timestamp, usize), Act<'a>>>,
    /// The machine sleeps from one moment to another.
    sleeps: Mutex<Vec<(Timestamp, Timestamp)>>,
    /// Sees every moment.
    sees: Option<Box<dyn Fn(Timestamp) + Sync + 'a>>,
}

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

impl<'a> Script<'a> {
    pub fn new(begin: Timestamp, end: Timestamp) -> Script<'a> {
        Script { clock: Virtual::new(begin, end), acts: Mutex::default(), sleeps: Mutex::default(), sees: None }
    }

    pub fn seen_by(self, sees: impl Fn(Timestamp) + Sync + 'a) -> Script<'a> {
        Script { sees: Some(Box::new(sees)), ..self }
    }

    pub fn at(&self, at: Timestamp, act: impl FnOnce() + Send + 'a) {
        let mut acts = self.acts.lock().unwrap();
        // in the order in which they were put on it
        let nth = acts.range((at, 0)..=(at, usize::MAX)).count();
        acts.insert((at, nth), Box::new(act));
    }

    /// Whoever waits over `from` wakes at `to`.
    pub fn leap(&self, from: Timestamp, to: Timestamp) {
        self.sleeps.lock().unwrap().push((from, to));
    }

    /// Everything on the script, one after the other, with nobody there.
    pub fn plays_all(self) {
        let acts = std::mem::take(&mut *self.acts.lock().unwrap());
        acts.into_values().for_each(|act| act());
    }
}

impl Time for Script<'_> {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn wait(&self, until: Timestamp, signals: &Receiver<Signal>, is_busy: bool) -> Option<Signal> {
        if let Some(sees) = &self.sees {
            sees(self.now());
        }
        let mut sleeps = self.sleeps.lock().unwrap();
        if let Some(at) = sleeps.iter().position(|(from, _)| !is_busy && *from < until) {
            let (_, to) = sleeps.remove(at);
            return self.clock.wait(to, signals, is_busy);
        }
        drop(sleeps);
        let next = || {
            let mut acts = self.acts.lock().unwrap();
            let first = acts.first_entry().filter(|first| !is_busy && first.key().0 <= until)?;
            let at = first.key().0;
            Some((at, first.remove()))
        };
        match next() {
            Some((at, act)) => {
                let passed = self.clock.wait(at, signals, is_busy);
                act();
                passed
            }
            None => self.clock.wait(until, signals, is_busy),
        }
    }
}

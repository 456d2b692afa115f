//! What can happen to events and processes: duplicates, any order, kills, concurrency.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use super::{DAYS, TIME, assert_same, command, file, from_command, from_stack};
use crate::support::lambda::{Answer, Stack, morning};
use crate::support::project::Site;
use crate::support::random::Random;
use crate::support::sample::is_whole;

/// Runs both mornings with a disturbance, and compares with a run of the command after each.
fn through(processes: usize, carry: impl Fn(&Stack, Value)) {
    let (stack, site) = (Stack::new(processes), Site::with_daily_sales());
    for (day, at) in DAYS {
        stack.put_sales(&format!("{day}.csv"), file(day));
        carry(&stack, morning(at));
        command(&stack, &site, at);
        assert_same(&from_stack(&stack), &from_command(&stack, &site));
    }
}

#[test]
fn events_are_duplicated_and_reordered() {
    for seed in if is_whole() { 1..=4 } else { 1..=1 } {
        let dice = Mutex::new(Random::new(seed));
        through(1, |stack, event| {
            let mut due = vec![event.clone(), event];
            while !due.is_empty() {
                let event = due.swap_remove(dice.lock().unwrap().below(due.len()));
                assert!(matches!(stack.function(&event, 0).invoke(&event, TIME), Answer::Done(_)));
                for event in stack.bus.take() {
                    due.extend([event.clone(), event]);
                }
            }
        });
    }
}

/// Minimum number of kills, twice as many with `TIDEMARK_CRASH=all`, and maximum number of pairs of mornings over which they may fall.
const KILLS: usize = 20;
const MOST_PAIRS: u64 = 20;

/// A killed function is started again with the same event, as often as necessary. Lambda gives up after the second retry; then the event of
/// the next schedule has the same effect.
#[test]
fn functions_are_killed_at_random() {
    let (kills, mut pairs) = (AtomicUsize::new(0), 0);
    let (min_pairs, wanted) = if is_whole() { (2, 2 * KILLS) } else { (1, KILLS) };
    while pairs < min_pairs || kills.load(Ordering::Relaxed) < wanted {
        assert!(pairs < MOST_PAIRS, "functions end before they can be killed: {kills:?}");
        let dice = Mutex::new(Random::new(11 + pairs));
        through(1, |stack, event| {
            let mut due = vec![event];
            while !due.is_empty() {
                let event = due.remove(0);
                for attempt in 0.. {
                    // kill it after a number of requests to S3 and a number of polls, later each time, so that it ends
                    let [mut requests, mut looks] =
                        [4, 8].map(|most| dice.lock().unwrap().below(most << attempt.min(10)));
                    let _ = stack.s3.asked();
                    let is_over = || {
                        requests = requests.saturating_sub(stack.s3.asked().len());
                        looks = looks.saturating_sub(usize::from(requests == 0));
                        requests == 0 && looks == 0
                    };
                    match stack.function(&event, 0).invoke_until(&event, TIME, is_over) {
                        Answer::Done(_) => break,
                        Answer::Died => kills.fetch_add(1, Ordering::Relaxed),
                        Answer::Failed(kind, message) => panic!("{kind}: {message}"),
                    };
                }
                due.extend(stack.bus.take());
            }
        });
        pairs += 1;
    }
    println!("{} kills in {pairs} pairs of mornings", kills.into_inner());
}

#[test]
fn eight_concurrent_workers() {
    through(8, |stack, event| {
        let mut due = vec![event];
        while !due.is_empty() {
            std::thread::scope(|scope| {
                for event in &due {
                    for process in 0..8 {
                        scope.spawn(move || {
                            let answer = stack.function(event, process).invoke(event, TIME);
                            assert!(matches!(answer, Answer::Done(_)), "{answer:?}");
                        });
                    }
                }
            });
            // each of them has announced the steps that it woke
            due = stack.bus.take();
            due.sort_by_key(|event| event["detail"].to_string());
            due.dedup_by_key(|event| event["detail"].clone());
        }
    });
}

/// Events are hints: of many mornings only the last schedule arrives, and nothing that it triggers is lost.
#[test]
fn only_the_last_event_arrives() {
    let (stack, site) = (Stack::new(1), Site::with_daily_sales());
    for (day, at) in DAYS {
        stack.put_sales(&format!("{day}.csv"), file(day));
        // it is ingested, and its announcements are lost
        stack.named("ingest", 0).invoke(&morning(at), TIME).record();
        drop(stack.bus.take());
    }
    // a duplicate of the last event finds nothing to do, and still announces the steps that are behind
    stack.carry(morning(DAYS[1].1), TIME);
    command(&stack, &site, DAYS[1].1);
    let (ours, theirs) = (from_stack(&stack), from_command(&stack, &site));
    for name in ["sales", "sales_by_day", "report daily-sales-2011-12-08.xlsx", "table sales_by_day"] {
        // the command has read both files at once, so raw rows arrived in another version
        assert_eq!(ours[name], theirs[name], "{name}");
    }
}

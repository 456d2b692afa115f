//! How the executor runs tasks: panics, deadlines without a checkpoint, threads within the memory.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use object_store::memory::InMemory;
use tidemark_flow::{
    Context, DraftSummary, Error, ErrorKind, Executor, Runnable, Scope, Status, Step, TaskOutcome, TaskScope, Trigger,
    host, watch_panics,
};
use tidemark_lake::{Lake, Outcome, Store};
use tidemark_pipeline::{DatasetName, StepId};

use crate::support::daily_sales::runtime;
use crate::support::running::{self, Looks};

#[test]
fn a_panic_is_an_error_with_its_place() {
    watch_panics();
    let lake = Lake::open(Store::new(Arc::new(InMemory::new()), "memory", runtime()), true).unwrap();
    let scratch = std::env::temp_dir();
    let context = running::context(&lake, &host::now, &host::run_id, &scratch);
    let step = Looks(|_: &Context<'_>| panic!("seven is not a colour"));
    let record = Runnable::run(&step, &context, Executor::SEQUENTIAL, &Trigger::at(host::now(), "chain"));
    let error = record.error.unwrap();
    assert_eq!((record.status, error.kind), (Status::Failed, ErrorKind::Bug));
    assert!(error.message.contains("clean of orders panicked at tests/exactly_once/executor.rs:"), "{}", error.message);
    assert!(error.message.ends_with("seven is not a colour"), "{}", error.message);
    assert_eq!(lake.runs(10).unwrap().len(), 1);
}

/// A step of six tasks, each of which needs 100 bytes of memory. Its result equals what is committed.
#[derive(Default)]
struct SixTasks {
    has_checkpoint: bool,
    /// Fails with this kind instead, after all tasks.
    fails: Option<ErrorKind>,
    done: AtomicUsize,
    running: AtomicUsize,
    most_running: AtomicUsize,
}

impl Step for SixTasks {
    type Observed = ();
    type Plan = ();
    type Task = usize;
    type Receipt = usize;
    type Partial = ();
    type Session<'s>
        = ()
    where
        Self: 's;
    type Draft = ();

    fn pipeline(&self) -> &str {
        "orders"
    }

    fn id(&self) -> StepId {
        StepId::Clean
    }

    fn observe(&self, _: &Context<'_>, _: &Trigger) -> Result<Option<()>, Error> {
        Ok(Some(()))
    }

    fn plan(&self, (): (), _: &Trigger) -> Result<Option<()>, Error> {
        Ok(Some(()))
    }

    fn scope(&self, (): &()) -> Scope {
        Scope::default()
    }

    fn checkpoint(&self, (): &()) -> Option<(DatasetName, String)> {
        self.has_checkpoint.then(|| ("orders".parse().unwrap(), "six".to_owned()))
    }

    fn tasks(&self, (): &(), receipts: &[usize]) -> Result<Vec<usize>, Error> {
        Ok(if receipts.is_empty() { (0..6).collect() } else { Vec::new() })
    }

    fn task_name(&self, task: &usize) -> String {
        task.to_string()
    }

    fn task_memory(&self) -> u64 {
        100
    }

    fn session<'s>(&'s self, _: &Context<'s>, _: &TaskScope) -> Result<(), Error> {
        Ok(())
    }

    fn run(&self, _: &Context<'_>, (): &(), task: &usize, _: Option<()>) -> Result<TaskOutcome<usize, ()>, Error> {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_running.fetch_max(running, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(20));
        self.running.fetch_sub(1, Ordering::SeqCst);
        self.done.fetch_add(1, Ordering::SeqCst);
        Ok(TaskOutcome::Done(*task))
    }

    fn gather(&self, (): (), receipts: Vec<usize>, _: &str) -> Result<Option<(DraftSummary, ())>, Error> {
        assert_eq!(receipts, [0, 1, 2, 3, 4, 5]);
        match self.fails {
            Some(kind) => Err(Error::new(kind, "not to be committed")),
            None => Ok(None),
        }
    }

    fn commit(&self, _: &Context<'_>, (): (), _: &mut DraftSummary) -> Result<Outcome, Error> {
        unreachable!()
    }
}

#[test]
fn without_a_checkpoint_no_task_is_left_at_the_deadline() {
    let lake = Lake::open(Store::new(Arc::new(InMemory::new()), "memory", runtime()), true).unwrap();
    let (start, reads, scratch) = (Timestamp::UNIX_EPOCH, AtomicI64::new(0), std::env::temp_dir());
    let clock = || start + SignedDuration::from_secs(reads.fetch_add(1, Ordering::Relaxed));
    let context = Context { deadline: Some(start), ..running::context(&lake, &clock, &host::run_id, &scratch) };
    let step = SixTasks::default();
    let record = Runnable::run(&step, &context, Executor::SEQUENTIAL, &Trigger::at(start, "tasks"));
    assert_eq!((record.status, record.error.is_none()), (Status::NothingToDo, true), "{record:#?}");
    assert_eq!(step.done.into_inner(), 6);
}

#[test]
fn a_checkpoint_is_deleted_unless_its_step_failed() {
    let (start, scratch) = (Timestamp::UNIX_EPOCH, std::env::temp_dir());
    for (fails, is_left) in [(None, false), (Some(ErrorKind::Retry), true)] {
        let lake = Lake::open(Store::new(Arc::new(InMemory::new()), "memory", runtime()), true).unwrap();
        let receipts = || {
            let objects = lake.store().list(None).unwrap();
            objects.iter().filter(|object| object.location.as_ref().contains("_work")).count()
        };
        let step = SixTasks { has_checkpoint: true, fails, ..SixTasks::default() };
        let mut statuses = Vec::new();
        for part in 0..6 {
            let clock = || start;
            let context = Context { deadline: Some(start), ..running::context(&lake, &clock, &host::run_id, &scratch) };
            let trigger = Trigger { part, ..Trigger::at(start, "tasks") };
            statuses.push(Runnable::run(&step, &context, Executor::SEQUENTIAL, &trigger).status);
            assert!(part == 5 || receipts() == part as usize + 1, "{fails:?} after part {part}");
        }
        let last = if fails.is_some() { Status::Failed } else { Status::NothingToDo };
        assert_eq!(statuses, [vec![Status::Continues; 5], vec![last]].concat());
        assert_eq!(receipts() > 0, is_left, "{fails:?}");
    }
}

#[test]
fn no_more_tasks_run_at_once_than_the_memory_holds() {
    let lake = Lake::open(Store::new(Arc::new(InMemory::new()), "memory", runtime()), true).unwrap();
    let scratch = std::env::temp_dir();
    for (memory, most) in [(10, 1), (199, 1), (250, 2), (1 << 20, 4)] {
        let context = Context { memory, ..running::context(&lake, &host::now, &host::run_id, &scratch) };
        let step = SixTasks::default();
        let executor = Executor::Local { threads: NonZeroUsize::new(4).unwrap() };
        Runnable::run(&step, &context, executor, &Trigger::at(host::now(), "tasks"));
        assert_eq!(step.done.into_inner(), 6);
        assert!(step.most_running.into_inner() <= most, "{memory}");
    }
}

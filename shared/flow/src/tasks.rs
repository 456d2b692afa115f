//! Runs the tasks of a plan, stage by stage: in this process, one after another or on several threads, or in other processes.

use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::checkpoint::{SavedReceipt, SavedReceipts};
use crate::context::Context;
use crate::error::{Error, ErrorKind};
use crate::remote::{RemoteTasks, TaskMessage};
use crate::step::{Step, TaskOutcome, TaskScope};

/// Where the tasks of a step run. The commit is byte for byte the same in each case.
#[derive(Clone, Copy)]
pub enum Executor<'a> {
    /// In this process, on this many threads. When the deadline passes, the progress is saved.
    Local { threads: NonZeroUsize },
    /// In other processes: each task is sent as a message, and its receipt comes back as another.
    Remote(&'a dyn RemoteTasks),
}

impl Executor<'_> {
    /// One task after another.
    pub const SEQUENTIAL: Executor<'static> = Executor::Local { threads: NonZeroUsize::MIN };

    /// On all cores of this machine.
    pub fn for_all_cores() -> Executor<'static> {
        Executor::Local { threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN) }
    }
}

/// The outcome of running the tasks of a plan.
pub(crate) enum Progress<R> {
    /// All are done. The receipts are in the order of the tasks. `has_spilled` says whether rows were written to the checkpoint.
    Complete { receipts: Vec<R>, has_spilled: bool },
    /// The deadline has passed; the progress is in the checkpoint.
    Late,
}

/// Runs all tasks of a plan that are not done yet. With `is_continued` the receipts of earlier invocations are read first.
pub(crate) fn run_all<S: Step>(
    context: &Context<'_>,
    executor: Executor<'_>,
    step: &S,
    plan: &S::Plan,
    scope: &TaskScope,
    is_continued: bool,
) -> Result<Progress<S::Receipt>, Error> {
    match executor {
        Executor::Local { threads } => {
            let saved = match &scope.checkpoint {
                Some(checkpoint) if is_continued => SavedReceipts::read(context, checkpoint)?,
                _ => SavedReceipts::default(),
            };
            let session = step.session(context, scope)?;
            Local { context, step, session: &session, threads, scope, saved }.run(plan)
        }
        Executor::Remote(remote) => {
            let mut receipts = Vec::new();
            loop {
                let tasks = step.tasks(plan, &receipts)?;
                if tasks.is_empty() {
                    let has_spilled = receipts.iter().any(|receipt| !step.spill_objects(receipt).is_empty());
                    return Ok(Progress::Complete { receipts, has_spilled });
                }
                let messages = tasks.iter().map(|task| TaskMessage::new(context, step, scope, task));
                let replies = remote.run(&messages.collect::<Result<Vec<_>, _>>()?)?;
                if replies.len() != tasks.len() {
                    let message =
                        format!("{} tasks were sent, but {} receipts were received", tasks.len(), replies.len());
                    return Err(Error::new(ErrorKind::Retry, message).hint("run again"));
                }
                for reply in replies {
                    receipts.push(reply.receipt::<S>(context)?);
                }
            }
        }
    }
}

struct Local<'r, 's, S: Step + 's> {
    context: &'r Context<'r>,
    step: &'r S,
    session: &'r S::Session<'s>,
    threads: NonZeroUsize,
    scope: &'r TaskScope,
    saved: SavedReceipts,
}

/// The state of a task.
enum Slot<R, P> {
    Open(Option<P>),
    Done(R),
    /// The deadline passed while it ran.
    Late(Option<P>),
}

impl<S: Step> Local<'_, '_, S> {
    fn run(mut self, plan: &S::Plan) -> Result<Progress<S::Receipt>, Error> {
        let mut receipts = Vec::new();
        // receipts of this invocation that are not saved yet: the names of the tasks, and the positions of their receipts
        let mut fresh: Vec<(String, usize)> = Vec::new();
        let has_advanced = AtomicBool::new(false);
        loop {
            let tasks = self.step.tasks(plan, &receipts)?;
            if tasks.is_empty() {
                let has_spilled = self.step.has_spilled(self.session);
                return Ok(Progress::Complete { receipts, has_spilled });
            }
            let names: Vec<String> = tasks.iter().map(|task| self.step.task_name(task)).collect();
            let mut open = vec![true; tasks.len()];
            let mut slots = Vec::new();
            for (name, open) in names.iter().zip(&mut open) {
                slots.push(Mutex::new(match self.saved.take(self.step, name) {
                    Some(SavedReceipt::Done(receipt)) => {
                        *open = false;
                        Slot::Done(receipt)
                    }
                    Some(SavedReceipt::Partial(partial)) => Slot::Open(Some(partial)),
                    None => Slot::Open(None),
                }));
            }
            self.stage(&tasks, &slots, &has_advanced)?;
            let mut partials = Vec::new();
            let mut is_whole = true;
            for ((slot, name), open) in slots.into_iter().zip(names).zip(open) {
                match slot.into_inner().unwrap_or_else(PoisonError::into_inner) {
                    Slot::Done(receipt) => {
                        if open {
                            fresh.push((name, receipts.len()));
                        }
                        receipts.push(receipt);
                    }
                    Slot::Late(partial) => {
                        is_whole = false;
                        partials.extend(partial.map(|partial| (name, partial)));
                    }
                    Slot::Open(_) => is_whole = false,
                }
            }
            if !is_whole {
                return self.save_progress(receipts, fresh, partials).map(|()| Progress::Late);
            }
        }
    }

    /// Runs the open tasks of one stage in order, until all are done or the deadline has passed. Each invocation starts at least one task,
    /// even if it is late.
    fn stage(
        &self,
        tasks: &[S::Task],
        slots: &[Mutex<Slot<S::Receipt, S::Partial>>],
        has_advanced: &AtomicBool,
    ) -> Result<(), Error> {
        // at least one task runs, however little memory there is
        let fitting = self.context.memory / self.step.task_memory().max(1);
        let fitting = usize::try_from(fitting).unwrap_or(usize::MAX).max(1);
        let threads = self.threads.get().min(tasks.len()).min(fitting);
        let context = Context { memory: self.context.memory / threads as u64, ..*self.context };
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let work = || -> Result<(), (usize, Error)> {
            loop {
                // without a checkpoint a stop would lose what is done
                let is_over =
                    || self.scope.checkpoint.is_some() && has_advanced.load(Ordering::Relaxed) && context.is_late();
                if stop.load(Ordering::Relaxed) || is_over() {
                    break;
                }
                let nth = next.fetch_add(1, Ordering::Relaxed);
                let (Some(task), Some(slot)) = (tasks.get(nth), slots.get(nth)) else { break };
                let lock = || slot.lock().unwrap_or_else(PoisonError::into_inner);
                let from = match &mut *lock() {
                    Slot::Open(partial) => partial.take(),
                    Slot::Done(_) | Slot::Late(_) => continue,
                };
                let outcome = self.step.run(&context, self.session, task, from).map_err(|error| {
                    stop.store(true, Ordering::Relaxed);
                    (nth, error)
                })?;
                match outcome {
                    TaskOutcome::Done(receipt) => {
                        has_advanced.store(true, Ordering::Relaxed);
                        *lock() = Slot::Done(receipt);
                    }
                    TaskOutcome::Late(partial) => {
                        stop.store(true, Ordering::Relaxed);
                        *lock() = Slot::Late(partial);
                    }
                }
            }
            Ok(())
        };
        let ended: Vec<Result<(), (usize, Error)>> = match threads {
            0 | 1 => vec![work()],
            _ => std::thread::scope(|scope| {
                let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
                workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
            }),
        };
        // all tasks before the first failed one are done, so the reported error does not depend on the number of threads
        match ended.into_iter().filter_map(Result::err).min_by_key(|(nth, _)| *nth) {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }

    /// Saves the progress of this invocation, for the next one to continue.
    fn save_progress(
        &self,
        receipts: Vec<S::Receipt>,
        fresh: Vec<(String, usize)>,
        partials: Vec<(String, S::Partial)>,
    ) -> Result<(), Error> {
        let refused = || {
            let message = format!("{} of {} makes no progress in one invocation", self.step.id(), self.step.pipeline());
            Error::new(ErrorKind::Refused, message).hint("give the function a longer timeout or more memory")
        };
        let checkpoint = self.scope.checkpoint.as_ref().ok_or_else(refused)?;
        let mut places = fresh.iter().map(|(_, place)| *place).peekable();
        let receipts = receipts.into_iter().enumerate().filter(|(nth, _)| places.next_if_eq(nth).is_some());
        let receipts = self.step.persist(self.context, self.session, receipts.map(|(_, receipt)| receipt).collect())?;
        let done = fresh.into_iter().map(|(name, _)| name).zip(receipts).collect();
        // no progress over the previous invocation: the next one would make none either
        match self.saved.put::<S>(self.context, checkpoint, done, partials)? {
            true => Ok(()),
            false => Err(refused()),
        }
    }
}

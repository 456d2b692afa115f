//! Tasks in processes of their own: shuffled, and each done twice. Whoever can do this can do without the memory, the folders and the
//! order of a single process, as the functions of a Distributed Map have to.

use std::path::Path;
use std::process::{Child, Stdio};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidemark::args::Common;
use tidemark::environment::LocalEnvironment;
use tidemark::load;
use tidemark::steps::step;
use tidemark_flow::{Error, RemoteTasks, Secret, Selection, TaskMessage, TaskReply};
use tidemark_pipeline::StepId;

use crate::support::daily_sales::run_id;
use crate::support::own_program::own_program;
use crate::support::random::Random;
use crate::support::running;

/// Names the folder in which a child process finds its task.
const TASK: &str = "TIDEMARK_TEST_TASK";
/// Processes at once.
const AT_ONCE: usize = 4;

/// Runs each task in a process of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OwnProcesses {
    /// The folder of the lake.
    pub lake: String,
    /// The pipelines, and the values of their parameters.
    pub pipelines: String,
    pub parameters: Vec<(String, String)>,
    pub secrets: Vec<(String, String)>,
    /// The time in them.
    pub now: jiff::Timestamp,
}

impl OwnProcesses {
    pub fn common(&self) -> Common {
        let OwnProcesses { lake, pipelines, parameters, .. } = self.clone();
        Common { lake, pipelines: pipelines.into(), parameters, json: true }
    }

    pub fn world(&self) -> LocalEnvironment {
        let secrets = self.secrets.iter().map(|(name, secret)| (name.parse().unwrap(), Secret::new(secret.clone())));
        secrets.fold(LocalEnvironment::new().unwrap(), |world, (name, secret)| world.with_secret(name, secret))
    }

    fn start(&self, task: &TaskMessage) -> (tempfile::TempDir, Child) {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
        put("task.json", serde_json::to_string(task).unwrap());
        put("site.json", serde_json::to_string(self).unwrap());
        let child = own_program()
            .args(["--exact", "support::task_processes::a_task_in_a_process_of_its_own"])
            .env(TASK, folder.path())
            .stdout(Stdio::null())
            .spawn();
        (folder, child.unwrap())
    }
}

impl RemoteTasks for OwnProcesses {
    fn run(&self, tasks: &[TaskMessage]) -> Result<Vec<TaskReply>, Error> {
        let mut order: Vec<usize> = (0..tasks.len()).chain(0..tasks.len()).collect();
        let mut random = Random::new(tasks.len() as u64);
        for nth in (1..order.len()).rev() {
            order.swap(nth, random.below(nth + 1));
        }
        let mut replies: Vec<Option<String>> = vec![None; tasks.len()];
        // of two that write one report at once, one loses, which is told by what it says and not by what stands there
        let is_load = tasks.iter().any(|task| matches!(task.step, StepId::Load(_)));
        for some in order.chunks(if is_load { 1 } else { AT_ONCE }) {
            let started: Vec<_> = some.iter().map(|nth| (nth, self.start(&tasks[*nth]))).collect();
            for (nth, (folder, mut child)) in started {
                assert!(child.wait().unwrap().success(), "task {nth}: {:?}", tasks[*nth]);
                let reply = std::fs::read_to_string(folder.path().join("reply.json")).unwrap();
                match &replies[*nth] {
                    None => replies[*nth] = Some(reply),
                    Some(first) => assert_same(first, &reply, &tasks[*nth]),
                }
            }
        }
        Ok(replies.into_iter().map(|reply| serde_json::from_str(&reply.unwrap()).unwrap()).collect())
    }
}

/// That a task that was done twice was done once.
fn assert_same(first: &str, second: &str, task: &TaskMessage) {
    let [first, second] = [first, second].map(|reply| serde_json::from_str::<Value>(&unnamed(reply)).unwrap());
    let own = |mut reply: Value| {
        // pages that have landed are not sent again
        if let (StepId::Ingest, Some(receipt)) = (&task.step, reply["receipt"].as_object_mut()) {
            receipt.remove("bytes");
        }
        reply
    };
    // a report that is there is not written again
    let is_there =
        matches!(task.step, StepId::Load(_)) && [&first, &second].iter().any(|reply| reply["receipt"] == "same");
    assert!(is_there || own(first.clone()) == own(second.clone()), "{task:?}: {first} {second}");
}

/// A reply without the names of spill objects: rows that are left for a later stage may be left in another order.
fn unnamed(reply: &str) -> String {
    let mut parts = reply.split("\"rows-");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + "\"\"" + part.split_once('"').map_or("", |(_, rest)| rest))
}

/// What the child processes do; without a task it does nothing.
#[test]
fn a_task_in_a_process_of_its_own() {
    let Some(folder) = std::env::var_os(TASK) else { return };
    let read = |name: &str| std::fs::read_to_string(Path::new(&folder).join(name)).unwrap();
    let message: TaskMessage = serde_json::from_str(&read("task.json")).unwrap();
    let site: OwnProcesses = serde_json::from_str(&read("site.json")).unwrap();
    let world = site.world();
    let (graph, lake) = (load(&site.common(), Selection::Named(&[])).unwrap(), world.lake(&site.lake).unwrap());
    let (clock, scratch) = (|| site.now, std::env::temp_dir());
    let context = running::context(&lake, &clock, &run_id, &scratch);
    let pipeline = graph.pipeline(message.pipeline.as_str()).unwrap();
    let reply = step(&world, &graph, pipeline, &message.step).unwrap().run_task(&context, &message).unwrap();
    std::fs::write(Path::new(&folder).join("reply.json"), serde_json::to_string(&reply).unwrap()).unwrap();
}

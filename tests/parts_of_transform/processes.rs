//! Tasks in processes of their own: shuffled, and each done twice. Whoever can do this can do without the memory, the folders and the
//! order of a single process, as the functions of a Distributed Map have to.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tidemark::steps::step;
use tidemark_flow::{Failure, RemoteTasks, TaskMessage, TaskReply};
use tidemark_lake::Lake;

use super::Shop;
use crate::crash::house::{run_id, runtime};
use crate::support::random::Random;
use crate::support::running::{self, TestEnvironment};

/// Names the folder in which a child process finds its task.
const TASK: &str = "TIDEMARK_TEST_TASK";
/// Processes at once.
const AT_ONCE: usize = 4;

/// Runs each task in a process of its own.
pub struct OwnProcesses<'s> {
    pub shop: &'s Shop,
    /// The folder of the lake.
    pub lake: PathBuf,
}

impl RemoteTasks for OwnProcesses<'_> {
    fn run(&self, tasks: &[TaskMessage]) -> Result<Vec<TaskReply>, Failure> {
        let mut order: Vec<usize> = (0..tasks.len()).chain(0..tasks.len()).collect();
        let mut random = Random::new(tasks.len() as u64);
        for nth in (1..order.len()).rev() {
            order.swap(nth, random.below(nth + 1));
        }
        let mut replies: Vec<Option<String>> = vec![None; tasks.len()];
        for some in order.chunks(AT_ONCE) {
            let started: Vec<_> = some.iter().map(|nth| (nth, self.start(&tasks[*nth]))).collect();
            for (nth, (folder, mut child)) in started {
                assert!(child.wait().unwrap().success(), "task {nth}: {:?}", tasks[*nth]);
                let reply = std::fs::read_to_string(folder.path().join("reply.json")).unwrap();
                match &replies[*nth] {
                    None => replies[*nth] = Some(reply),
                    // done twice is done once; rows that are left for a later stage may be left in another order
                    Some(first) => assert_eq!(unnamed(first), unnamed(&reply), "{:?}", tasks[*nth]),
                }
            }
        }
        Ok(replies.into_iter().map(|reply| serde_json::from_str(&reply.unwrap()).unwrap()).collect())
    }
}

impl OwnProcesses<'_> {
    fn start(&self, task: &TaskMessage) -> (tempfile::TempDir, Child) {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        put("task.json", &serde_json::to_string(task).unwrap());
        put("lake", self.lake.to_str().unwrap());
        put("shop", self.shop.folder.path().to_str().unwrap());
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "parts_of_transform::processes::a_task_in_a_process_of_its_own"])
            .env(TASK, folder.path())
            .stdout(Stdio::null())
            .spawn();
        (folder, child.unwrap())
    }
}

/// A reply without the names of spill objects.
fn unnamed(reply: &str) -> String {
    let mut parts = reply.split("\"rows-");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('"').map_or("", |(_, rest)| rest))
}

/// What the child processes do; without a task it does nothing.
#[test]
fn a_task_in_a_process_of_its_own() {
    let Some(folder) = std::env::var_os(TASK) else { return };
    let read = |name: &str| std::fs::read_to_string(Path::new(&folder).join(name)).unwrap();
    let message: TaskMessage = serde_json::from_str(&read("task.json")).unwrap();
    let lake = Lake::open_folder(Path::new(&read("lake")), false, runtime(), &tidemark_lake::Meter::default()).unwrap();
    let shop = PathBuf::from(read("shop"));
    let graph = super::graph(&shop);
    let source = || super::source(&shop);
    let (locate, folder_of) = (|_: &str| Ok(tidemark_flow::Place::Folder(source())), |_: &str| Ok(source()));
    let environment = TestEnvironment { locate: &locate, folder: &folder_of, ..TestEnvironment::default() };
    let (clock, scratch) = (|| super::NOW.parse().unwrap(), std::env::temp_dir());
    let context = running::context(&lake, &clock, &run_id, &scratch);
    let pipeline = graph.pipeline(message.pipeline.as_str()).unwrap();
    let reply = step(&environment, &graph, pipeline, &message.step).unwrap().run_task(&context, &message).unwrap();
    std::fs::write(Path::new(&folder).join("reply.json"), serde_json::to_string(&reply).unwrap()).unwrap();
}

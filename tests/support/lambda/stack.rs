//! All functions of the bundle over one S3 and one bus, as in a deployment.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Answer, Bus, Function};
use crate::support::project::root;
use crate::support::s3_server::Server;

const NAMES: [&str; 4] = ["ingest", "transform", "load", "watch"];

pub struct Stack {
    /// Name of its lake `s3://lake/<name>` and its reports `s3://reports/<name>`.
    name: &'static str,
    pub s3: Arc<Server>,
    pub bus: Bus,
    pub folder: TempDir,
    functions: Vec<Vec<Function>>,
}

/// The path of a bootstrap: next to this test binary, or in the folder `TIDEMARK_BOOTSTRAPS`, where `cargo lambda build` has put it.
pub fn bootstrap(name: &str) -> PathBuf {
    if let Some(folder) = std::env::var_os("TIDEMARK_BOOTSTRAPS") {
        let folder = PathBuf::from(folder);
        let built = [folder.join(name).join("bootstrap"), folder.join(name)];
        return built.into_iter().find(|path| path.is_file()).unwrap();
    }
    let binary = std::env::current_exe().unwrap().parent().and_then(Path::parent).unwrap().join(name);
    assert!(binary.exists(), "{} is missing; build it with: cargo build -p {name}", binary.display());
    binary
}

impl Stack {
    /// With buckets `lake`, `sales` and `reports`, the pipelines of the repository, and this many processes of each function.
    pub fn new(processes: usize) -> Stack {
        Stack::with(processes, &root().join("infra/pipelines"))
    }

    /// With one process of each function, all on one processor of this machine.
    pub fn on_one_processor() -> Stack {
        let stack = Stack::new(1);
        stack.functions.iter().flatten().for_each(Function::take_one_processor);
        stack
    }

    pub fn with(processes: usize, pipelines: &Path) -> Stack {
        Stack::with_variables(processes, pipelines, &[])
    }

    /// With these additional environment variables.
    pub fn with_variables(processes: usize, pipelines: &Path, more: &[(&str, String)]) -> Stack {
        let s3 = Server::atomic();
        for bucket in ["lake", "sales", "reports"] {
            s3.bucket(bucket);
        }
        Stack::over(Arc::new(s3), "main", processes, pipelines, more)
    }

    /// Another stack that reads the same source objects, with its own lake and reports.
    pub fn sibling(&self, name: &'static str) -> Stack {
        Stack::over(self.s3.clone(), name, 1, &root().join("infra/pipelines"), &[])
    }

    fn over(s3: Arc<Server>, name: &'static str, processes: usize, pipelines: &Path, more: &[(&str, String)]) -> Stack {
        let (bus, folder) = (Bus::new(), tempfile::tempdir().unwrap());
        let mut environment: Vec<(String, String)> =
            s3.variables().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let usual = [
            ("AWS_ENDPOINT_URL_EVENTBRIDGE", bus.endpoint()),
            ("TIDEMARK_BUS", "tidemark".into()),
            ("TIDEMARK_LAKE", format!("s3://lake/{name}")),
            ("TIDEMARK_PIPELINES", pipelines.display().to_string()),
            ("SALES", "s3://sales/daily".into()),
            ("ORDERS_API", "https://orders.example".into()),
            ("REPORTS", format!("s3://reports/{name}")),
        ];
        environment.extend(usual.map(|(name, value)| (name.to_owned(), value)));
        environment.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let start = |name: &str| {
            let binary = bootstrap(name);
            let of = |n: usize| Function::new(&binary, &folder.path().join(format!("{name}-{n}")), &environment);
            (0..processes).map(of).collect()
        };
        let functions = NAMES.map(start).into();
        Stack { name, s3, bus, folder, functions }
    }

    /// The URLs of its lake and of its reports.
    pub fn places(&self) -> [String; 2] {
        ["lake", "reports"].map(|bucket| format!("s3://{bucket}/{}", self.name))
    }

    /// One of the processes of the function that handles an event.
    pub fn function(&self, event: &Value, process: usize) -> &Function {
        let name = event["detail"]["function"].as_str().unwrap_or("ingest");
        self.named(name, process)
    }

    pub fn named(&self, name: &str, process: usize) -> &Function {
        let at = NAMES.iter().position(|known| *known == name).unwrap();
        &self.functions[at][process % self.functions[at].len()]
    }

    /// Handles an event and everything it triggers, one event after the other. Returns the answers in order.
    pub fn carry(&self, event: Value, time: Duration) -> Vec<Answer> {
        let (mut due, mut answers) = (vec![event], Vec::new());
        while !due.is_empty() {
            let event = due.remove(0);
            answers.push(self.function(&event, 0).invoke(&event, time));
            due.extend(self.bus.take());
        }
        answers
    }

    /// Uploads a file to the source of the sales.
    pub fn put_sales(&self, name: &str, content: impl AsRef<[u8]>) {
        let folder = self.s3.folder("sales").join("daily");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), content).unwrap();
    }

    /// Environment variables by which the command `tidemark` uses the same S3.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        self.s3.variables().into()
    }
}

/// The input that a schedule gives to `ingest`.
pub fn morning(at: &str) -> Value {
    json!({"pipeline": "daily-sales", "scheduled_time": at})
}

//! The command `tidemark` as a user has it: the real binary, in a folder of its own.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// A folder with pipelines, sources and a lake, gone with the test.
pub struct Site {
    folder: TempDir,
}

/// How the command ended and what it said.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// The binary that was built beside this test.
pub fn tidemark() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // target/<profile>/deps/it-<hash>
    let binary = test.parent().and_then(Path::parent).unwrap().join("tidemark");
    assert!(binary.exists(), "{} is missing; build it with: cargo build -p tidemark", binary.display());
    binary
}

/// The workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// What cargo tells a test of itself would have another cargo build everything anew.
pub fn forget_cargo(command: &mut Command) {
    let starts = ["CARGO_MANIFEST", "CARGO_PKG", "CARGO_BIN", "CARGO_CRATE", "CARGO_PRIMARY"];
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let is_exact =
            ["CARGO", "LD_LIBRARY_PATH", "RUST_RECURSION_COUNT", "RUSTUP_TOOLCHAIN"].contains(&text.as_ref());
        if is_exact || starts.iter().any(|start| text.starts_with(start)) {
            command.env_remove(&name);
        }
    }
}

/// The public data the tests run on; `None`, with a word, where it is not at hand.
pub fn public_data(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("TIDEMARK_DATA").map_or_else(|| root().join("../shared/data"), PathBuf::from);
    let path = folder.join(name);
    if !path.exists() {
        eprintln!("skipped: no {} (say with TIDEMARK_DATA where the public data is)", path.display());
        return None;
    }
    Some(path)
}

pub const HEADER: &str = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n";
pub const MORNING: &str = "2011-12-09T08:00:00Z";

/// Rows of the sales file: invoice, stock code, quantity, price; all of one day.
pub fn sales(day: &str, rows: &[(&str, &str, i64, &str)]) -> String {
    let mut text = HEADER.to_owned();
    for (invoice, code, quantity, price) in rows {
        text += &format!("{invoice},{code},THING {code},{quantity},{day} 10:30:00,{price},17850.0,United Kingdom\n");
    }
    text
}

impl Site {
    pub fn new() -> Site {
        Site { folder: TempDir::new().unwrap() }
    }

    /// With the pipeline `daily-sales` of the repository.
    pub fn with_daily_sales() -> Site {
        let site = Site::new();
        let from = root().join("infra/pipelines");
        for entry in walk(&from) {
            let name = entry.strip_prefix(&from).unwrap().to_string_lossy().into_owned();
            if name.starts_with("daily-sales") {
                site.write(&format!("infra/pipelines/{name}"), std::fs::read(&entry).unwrap());
            }
        }
        site
    }

    /// With one pipeline `orders` over the folder `in`; everything after `[source]` is given.
    pub fn with_orders(rest: &str) -> Site {
        let site = Site::new();
        std::fs::create_dir(site.path("in")).unwrap();
        site.orders(rest);
        site
    }

    pub fn orders(&self, rest: &str) {
        let text = format!("[source]\nkind = \"files\"\npath = \"in\"\n{rest}");
        self.write("infra/pipelines/orders.toml", text);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder.path());
        for (name, _) in std::env::vars_os() {
            let ours = ["SALES", "REPORTS", "ORDERS_API", "WAREHOUSE"];
            if name.to_string_lossy().starts_with("TIDEMARK_") || ours.iter().any(|known| name == *known) {
                command.env_remove(name);
            }
        }
        command
    }

    /// Runs `tidemark` with these arguments in the folder.
    pub fn call(&self, arguments: &[&str]) -> Answer {
        Answer::from_command(self.command(tidemark()).args(arguments))
    }

    /// The same with `--json`.
    pub fn ask(&self, arguments: &[&str]) -> Answer {
        Answer::from_command(self.command(tidemark()).args(arguments).arg("--json"))
    }

    /// `run daily-sales` of a morning over the files at `sales`.
    pub fn morning(&self, sales: &str, at: &str) -> Answer {
        let sales = format!("SALES={sales}");
        self.ask(&["run", "daily-sales", "--set", &sales, "--set", "REPORTS=out", "--at", at])
    }

    /// Every file below a folder, with its bytes.
    pub fn files(&self, below: &str) -> BTreeMap<String, Vec<u8>> {
        let root = self.path(below);
        let named = |path: PathBuf| {
            let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
            (name, std::fs::read(&path).unwrap())
        };
        walk(&root).into_iter().map(named).collect()
    }

    /// Rows of a query, each with its values in the order of the columns.
    pub fn sql(&self, query: &str) -> Vec<Vec<Value>> {
        self.ask(&["sql", query]).expect(0).rows()
    }

    /// The files that are live in a dataset, as the log names them, in order.
    pub fn live(&self, dataset: &str) -> Vec<String> {
        let mut live = std::collections::BTreeSet::new();
        for (name, bytes) in self.files(&format!("lake/datasets/{dataset}/_delta_log")) {
            if !name.ends_with(".json") {
                continue;
            }
            for line in String::from_utf8(bytes).unwrap().lines() {
                let action: Value = serde_json::from_str(line).unwrap();
                if let Some(path) = action["add"]["path"].as_str() {
                    live.insert(path.to_owned());
                }
                if let Some(path) = action["remove"]["path"].as_str() {
                    live.remove(path);
                }
            }
        }
        live.into_iter().collect()
    }
}

/// All files below a folder, sorted.
pub fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return found };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(walk(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

impl From<Output> for Answer {
    fn from(output: Output) -> Answer {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        // a signal has no code
        Answer { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Answer {
    pub fn from_command(command: &mut Command) -> Answer {
        command.output().unwrap().into()
    }

    #[track_caller]
    pub fn expect(self, code: i32) -> Answer {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out, self.err);
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self
    }

    /// The one JSON document on stdout.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {:?}; stderr: {}", self.out, self.err))
    }

    #[track_caller]
    pub fn rows(&self) -> Vec<Vec<Value>> {
        serde_json::from_value(self.json()["rows"].clone()).unwrap()
    }

    /// The run record of a step.
    #[track_caller]
    pub fn step(&self, name: &str) -> Value {
        let document = self.json();
        let runs = document["runs"].as_array().unwrap();
        runs.iter().find(|run| run["step"] == name).unwrap_or_else(|| panic!("no step {name}: {}", self.out)).clone()
    }

    /// Step and status of every run.
    #[track_caller]
    pub fn statuses(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let document = self.json();
        document["runs"].as_array().unwrap().iter().map(|run| (text(&run["step"]), text(&run["status"]))).collect()
    }

    /// The error of the run that failed, or of the command.
    #[track_caller]
    pub fn error(&self) -> Value {
        let document = self.json();
        let runs = document["runs"].as_array().cloned().unwrap_or_default();
        let failed = runs.iter().map(|run| &run["error"]).find(|error| !error.is_null());
        failed.unwrap_or(&document["error"]).clone()
    }

    /// That it failed, how, and with what words in its message and hint.
    #[track_caller]
    pub fn fails(&self, code: i32, kind: &str, words: &[&str]) {
        let error = self.error();
        assert!(!self.err.contains("panicked"), "{}", self.err);
        assert_eq!((self.code, error["kind"].as_str()), (code, Some(kind)), "{}{}", self.out, self.err);
        let said = format!("{} → {}", error["message"].as_str().unwrap(), error["hint"].as_str().unwrap_or_default());
        for word in words {
            assert!(said.contains(word), "no {word:?} in: {said}");
        }
    }
}

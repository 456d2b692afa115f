//! One function: a bootstrap that is started, killed and restarted as Lambda does, with the Runtime API from which it fetches events.
//! Protocol: <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::collections::{HashMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tokio::sync::Notify;

use crate::support::http_server::{Asked, Reply, reply, serve};
use crate::support::wait::HANG;

/// How an invocation ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    Done(Value),
    /// The function's error: type and message.
    Failed(String, String),
    /// The process has ended.
    Died,
}

impl Answer {
    #[track_caller]
    pub fn record(self) -> Value {
        match self {
            Answer::Done(record) => record,
            other => panic!("{other:?}"),
        }
    }
}

pub struct Function {
    binary: PathBuf,
    environment: Vec<(String, String)>,
    folder: PathBuf,
    api: Arc<Api>,
    address: SocketAddr,
    process: Mutex<Option<Child>>,
    /// With 1,769 MB a function gets one full vCPU.
    one_processor: AtomicBool,
}

#[derive(Default)]
struct Api {
    waiting: Mutex<VecDeque<Invocation>>,
    arrived: Notify,
    answers: Mutex<HashMap<String, Answer>>,
    next: AtomicU64,
}

struct Invocation {
    id: String,
    event: Vec<u8>,
    deadline_ms: u128,
}

impl Function {
    /// `folder` gets its logs and its temporary files.
    pub fn new(binary: &Path, folder: &Path, environment: &[(String, String)]) -> Function {
        std::fs::create_dir_all(folder.join("tmp")).unwrap();
        let api = Arc::new(Api::default());
        let of_server = api.clone();
        let address = serve(move |asked| {
            let api = of_server.clone();
            async move { api.answer(asked).await }
        });
        Function {
            binary: binary.to_owned(),
            environment: environment.to_vec(),
            folder: folder.to_owned(),
            api,
            address,
            process: Mutex::new(None),
            one_processor: AtomicBool::new(false),
        }
    }

    #[expect(unsafe_code, reason = "the processors of a child can only be set before it begins")]
    fn ensure(&self) {
        let mut process = self.process.lock().unwrap();
        if process.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none()) {
            return;
        }
        let append =
            |name: &str| -> File { OpenOptions::new().create(true).append(true).open(self.folder.join(name)).unwrap() };
        let mut command = Command::new(&self.binary);
        command.env_clear().env("AWS_LAMBDA_RUNTIME_API", self.address.to_string());
        command.env("AWS_LAMBDA_FUNCTION_NAME", self.binary.file_name().unwrap());
        command.env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST").env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1769");
        command.env("TMPDIR", self.folder.join("tmp")).envs(self.environment.iter().cloned());
        command.current_dir(&self.folder).stdout(append("stdout")).stderr(append("stderr"));
        if self.one_processor.load(Ordering::Relaxed) {
            // SAFETY: sched_setaffinity is a system call that reads only memory owned by the closure
            unsafe {
                command.pre_exec(|| {
                    let mut processors: libc::cpu_set_t = std::mem::zeroed();
                    libc::CPU_SET(0, &mut processors);
                    libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &processors);
                    Ok(())
                });
            }
        }
        *process = Some(command.spawn().unwrap());
    }

    pub fn take_one_processor(&self) {
        self.one_processor.store(true, Ordering::Relaxed);
    }

    fn is_gone(&self) -> bool {
        let mut process = self.process.lock().unwrap();
        process.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some())
    }

    pub fn kill(&self) {
        if let Some(mut child) = self.process.lock().unwrap().take() {
            let _ = child.kill();
            child.wait().unwrap();
        }
    }

    /// Delivers one event with this time limit, and waits for the answer.
    pub fn invoke(&self, event: &Value, time: Duration) -> Answer {
        self.invoke_until(event, time, || false)
    }

    /// The same, but kills the process if `is_over` returns true before it has answered.
    pub fn invoke_until(&self, event: &Value, time: Duration, mut is_over: impl FnMut() -> bool) -> Answer {
        self.ensure();
        let id = format!("request-{}", self.api.next.fetch_add(1, Ordering::SeqCst));
        let began = Instant::now();
        let deadline_ms = (SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + time).as_millis();
        let event = serde_json::to_vec(event).unwrap();
        self.api.waiting.lock().unwrap().push_back(Invocation { id: id.clone(), event, deadline_ms });
        self.api.arrived.notify_one();
        loop {
            if let Some(answer) = self.api.answers.lock().unwrap().remove(&id) {
                return answer;
            }
            assert!(began.elapsed() < time + HANG, "it hangs: {}", self.log());
            let is_over = is_over();
            if is_over {
                self.kill();
            }
            if is_over || self.is_gone() {
                self.api.waiting.lock().unwrap().retain(|waiting| waiting.id != id);
                // the answer may have arrived just before the process ended
                return self.api.answers.lock().unwrap().remove(&id).unwrap_or(Answer::Died);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The lines of stdout: metrics and anything else.
    pub fn stdout(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.join("stdout")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("stderr")).unwrap_or_default()
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Api {
    async fn answer(&self, asked: Asked) -> Reply {
        let path = asked.target.replace("/2018-06-01/runtime", "");
        match path.as_str() {
            "GET /invocation/next" => self.next().await,
            "POST /init/error" => reply(202, "{}"),
            path => {
                let Some((id, end)) = path.strip_prefix("POST /invocation/").and_then(|rest| rest.split_once('/'))
                else {
                    return reply(404, "{}");
                };
                let body: Value = serde_json::from_slice(&asked.body).unwrap();
                let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
                let answer = match end {
                    "response" => Answer::Done(body),
                    _ => Answer::Failed(text("errorType"), text("errorMessage")),
                };
                self.answers.lock().unwrap().insert(id.to_owned(), answer);
                reply(202, "{}")
            }
        }
    }

    async fn next(&self) -> Reply {
        let invocation = loop {
            let arrived = self.arrived.notified();
            if let Some(invocation) = self.waiting.lock().unwrap().pop_front() {
                break invocation;
            }
            arrived.await;
        };
        let mut reply = reply(200, invocation.event);
        let headers = [
            ("lambda-runtime-aws-request-id", invocation.id),
            ("lambda-runtime-deadline-ms", invocation.deadline_ms.to_string()),
            ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:000000000000:function:it".into()),
            ("lambda-runtime-trace-id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700".into()),
        ];
        for (name, value) in headers {
            reply.headers_mut().insert(name, value.parse().unwrap());
        }
        reply
    }
}

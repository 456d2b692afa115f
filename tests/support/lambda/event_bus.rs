//! A fake event bus for `PutEvents`: it accepts entries, refuses some if told to, and records the rest.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::http_server::{Asked, Reply, reply, serve};

#[derive(Clone)]
pub struct Bus {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// The events in the form in which EventBridge delivers them.
    events: Vec<Value>,
    /// Number of entries in each request.
    batches: Vec<usize>,
    /// Number of entries to be refused before any is accepted.
    refuses: usize,
}

impl Bus {
    pub fn new() -> Bus {
        let state = Arc::new(Mutex::new(State::default()));
        let of_server = state.clone();
        let address = serve(move |asked| {
            let state = of_server.clone();
            async move { put(&state, &asked) }
        });
        Bus { address, state }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the events since the last call.
    pub fn take(&self) -> Vec<Value> {
        std::mem::take(&mut self.state.lock().unwrap().events)
    }

    pub fn batches(&self) -> Vec<usize> {
        std::mem::take(&mut self.state.lock().unwrap().batches)
    }

    pub fn refuse(&self, entries: usize) {
        self.state.lock().unwrap().refuses = entries;
    }
}

fn put(state: &Mutex<State>, asked: &Asked) -> Reply {
    let target = asked.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    if target != Some("AWSEvents.PutEvents") || !asked.headers.contains_key("authorization") {
        return reply(400, json!({"__type": "UnknownOperationException"}).to_string());
    }
    let request: Value = serde_json::from_slice(&asked.body).unwrap();
    let mut state = state.lock().unwrap();
    let mut answers = Vec::new();
    let entries = request["Entries"].as_array().unwrap();
    assert!((1..=10).contains(&entries.len()), "{} entries in a batch", entries.len());
    state.batches.push(entries.len());
    for entry in entries {
        if state.refuses > 0 {
            state.refuses -= 1;
            answers.push(json!({"ErrorCode": "ThrottlingException", "ErrorMessage": "not now"}));
            continue;
        }
        let id = format!("event-{}", state.batches.len());
        let detail: Value = serde_json::from_str(entry["Detail"].as_str().unwrap()).unwrap();
        state.events.push(json!({
            "version": "0", "id": id, "source": entry["Source"], "detail-type": entry["DetailType"], "account": "000000000000",
            "time": "2026-03-03T08:00:00Z", "region": "us-east-1", "resources": [], "detail": detail,
        }));
        answers.push(json!({"EventId": id}));
    }
    let failed = answers.iter().filter(|answer| answer.get("ErrorCode").is_some()).count();
    reply(200, json!({"FailedEntryCount": failed, "Entries": answers}).to_string())
}

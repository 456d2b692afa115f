//! Errors of an account: each has a kind and a hint, and appears in the log, as a metric and as an alert; when the cause is fixed, the next
//! run succeeds. The test replaces Lambda's retries: three attempts, then the failure destination.

use std::time::Duration;

use hyper::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::lambda::{Answer, Stack};
use crate::support::postgres::Server;
use crate::support::receivers::Sink;
use crate::support::s3_server::{Rule, Trouble};
use crate::support::wait::HANG;

const TIME: Duration = HANG;

/// A deployment with pipeline `notes` over bucket `sales`, whose alerts go to Slack.
struct Account {
    stack: Stack,
    sink: Sink,
    hour: u32,
    folder: TempDir,
}

/// The function that failed in three attempts, and its error.
struct Failed {
    function: &'static str,
    kind: String,
    message: String,
}

impl Account {
    /// `target` is appended to the pipeline file.
    fn new(target: &str) -> Account {
        let (folder, sink) = (TempDir::new().unwrap(), Sink::start());
        let text = format!(
            "schedule = {{ rate = '1 hour' }}\n[alerts]\nslack = {{ secret = 'slack-webhook' }}\n\
             [source]\nkind = 'files'\npath = '${{SALES}}'\nformat = 'csv'\n[contract]\nkey = 'id'\n[contract.columns]\n\
             id = 'int64'\nnote = 'string'\n{target}"
        );
        std::fs::write(folder.path().join("notes.toml"), text).unwrap();
        let stack = Stack::with_variables(1, folder.path(), &[("TIDEMARK_SECRET_SLACK_WEBHOOK", sink.url())]);
        stack.put_sales("1.csv", "id,note\n1,a\n2,b\n");
        Account { stack, sink, hour: 0, folder }
    }

    /// Runs the schedule of a pipeline and all steps announced after it, until one fails in three attempts.
    fn fire(&mut self, pipeline: &str) -> Result<(), Failed> {
        self.hour += 1;
        let time = format!("2026-01-02T{:02}:00:00Z", self.hour);
        let mut due = vec![json!({"pipeline": pipeline, "scheduled_time": time})];
        while !due.is_empty() {
            let event = due.remove(0);
            let name = match event["detail"]["function"].as_str() {
                Some("transform") => "transform",
                Some("load") => "load",
                _ => "ingest",
            };
            self.attempt(name, &event)?;
            due.extend(self.stack.bus.take());
        }
        Ok(())
    }

    /// Three attempts, then the failure destination, like Lambda.
    fn attempt(&self, name: &'static str, event: &Value) -> Result<(), Failed> {
        let function = self.stack.named(name, 0);
        let mut last = None;
        for _ in 0..3 {
            match function.invoke(event, TIME) {
                Answer::Done(_) => return Ok(()),
                Answer::Failed(kind, message) => last = Some((kind, message)),
                Answer::Died => panic!("{name} has died"),
            }
        }
        let (kind, message) = last.unwrap();
        let given_up = json!({
            "version": "1.0", "timestamp": Timestamp::now().to_string(),
            "requestContext": {"functionArn": format!("arn:aws:lambda:eu-west-1:123456789012:function:tidemark-dev-{name}:$LATEST"),
                "condition": "RetriesExhausted", "approximateInvokeCount": 3},
            "requestPayload": event,
            "responsePayload": {"errorType": kind, "errorMessage": message},
        });
        self.stack.named("watch", 0).invoke(&given_up, TIME).record();
        Err(Failed { function: name, kind, message })
    }

    fn tick(&self) -> Value {
        let tick = json!({"detail-type": "Scheduled Event", "source": "aws.events", "time": "2026-01-02T00:05:00Z",
            "resources": ["arn:aws:events:eu-west-1:123456789012:rule/tidemark-dev-watch"], "detail": {}});
        self.stack.named("watch", 0).invoke(&tick, TIME).record()
    }

    fn messages(&self) -> Vec<String> {
        self.sink.taken().iter().map(Value::to_string).collect()
    }

    /// The error must be in the log, in the metrics and in one Slack message; after `fix` the pipeline succeeds and the incident is
    /// resolved.
    #[track_caller]
    fn fails_then_recovers(&mut self, pipeline: &str, kind: &str, words: &str, fix: impl FnOnce(&Account)) {
        let before = self.messages().len();
        let failed = self.fire(pipeline).expect_err("it fails");
        assert_eq!(failed.kind, kind, "{}", failed.message);
        assert!(failed.message.contains(words) && failed.message.contains('→'), "{}", failed.message);
        let function = self.stack.named(failed.function, 0);
        let logged: Vec<Value> = function.log().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let is_it = |line: &&Value| {
            line["level"] == "ERROR" && line["error"].as_str().is_some_and(|error| error.contains(words))
        };
        let line = logged.iter().rev().find(is_it).unwrap_or_else(|| panic!("{logged:#?}"));
        assert_eq!((&line["kind"], line["hint"].is_string()), (&json!(kind), true), "{line}");
        let metrics = function.stdout();
        let counted =
            |name: &str| metrics.iter().filter(|line| line[name] == json!(1.0) || line[name] == json!(1)).count();
        assert!(counted("runs_failed") + counted("not_handled") >= 3, "{metrics:#?}");
        self.tick();
        let messages = self.messages();
        assert_eq!(messages.len(), before + 1, "{messages:#?}");
        assert!(messages[before].contains(words), "{messages:#?}");

        fix(self);
        assert!(self.fire(pipeline).is_ok());
        self.tick();
        let messages = self.messages();
        assert_eq!(messages.len(), before + 2, "{messages:#?}");
        assert!(messages[before + 1].contains("Over after"), "{messages:#?}");
    }
}

#[test]
fn an_unreadable_source_is_reported_and_recovers() {
    let region: &[_] = &[("x-amz-bucket-region", "eu-central-1")];
    for (answer, kind, words) in [
        (Trouble::Answer(301, "PermanentRedirect", region), "definition", "bucket sales is in region eu-central-1"),
        (Trouble::Answer(400, "ExpiredToken", &[]), "refused", "the credentials have expired"),
        (Trouble::Answer(403, "AccessDenied", &[]), "refused", "access to bucket sales is denied"),
    ] {
        let mut account = Account::new("");
        for method in [Method::GET, Method::HEAD] {
            account.stack.s3.fail(Rule::always(method, "/sales", answer.clone()));
        }
        account.fails_then_recovers("notes", kind, words, |account| account.stack.s3.recover());
    }
}

#[test]
fn an_unreachable_database_is_reported_and_recovers() {
    let Some(server) = Server::start(&[]) else { return };
    let target = format!(
        "[[target]]\nkind = 'postgres'\nurl = '{}'\ndataset = 'notes'\ntable = 'notes'\nmode = 'upsert'\n",
        server.url("postgres")
    );
    let mut account = Account::new(&target);
    assert!(account.fire("notes").is_ok());
    account.stack.put_sales("2.csv", "id,note\n3,c\n");
    server.stop_immediate();
    account.fails_then_recovers("notes", "retry", "127.0.0.1", |_| server.start_again());
    let rows = server.query("SELECT string_agg(concat_ws(' ', id, note), ', ' ORDER BY id) FROM notes");
    assert_eq!(rows[0][0].as_deref(), Some("1 a, 2 b, 3 c"));
}

#[test]
fn an_unknown_pipeline_is_reported() {
    let mut account = Account::new("");
    assert!(account.fire("notes").is_ok());
    let failed = account.fire("notices").expect_err("there is none");
    assert_eq!((failed.function, failed.kind.as_str()), ("ingest", "definition"), "{}", failed.message);
    assert!(failed.message.contains("notices") && failed.message.contains("notes"), "{}", failed.message);
    // A pipeline without a file has no recipients, so all recipients are notified.
    let messages = account.messages();
    assert!(messages.len() == 1 && messages[0].contains("of pipeline notices"), "{messages:#?}");
    // Other pipelines still work.
    assert!(account.fire("notes").is_ok());
}

#[test]
fn a_missing_parameter_affects_only_its_pipeline() {
    let mut account = Account::new("");
    let text = "[parameters]\nNOWHERE = { about = 'where nothing is' }\n[source]\nkind = 'files'\npath = '${NOWHERE}'\nformat = 'csv'\n\
        [contract]\n[contract.columns]\nid = 'int64'\n";
    std::fs::write(account.folder.path().join("lost.toml"), text).unwrap();
    let failed = account.fire("lost").expect_err("it has no value");
    assert_eq!((failed.function, failed.kind.as_str()), ("ingest", "definition"), "{}", failed.message);
    assert!(failed.message.contains("NOWHERE"), "{}", failed.message);
    assert!(account.fire("notes").is_ok());
    let metrics = account.stack.named("ingest", 0).stdout();
    assert!(metrics.iter().any(|line| line["not_handled"] == json!(1)), "{metrics:#?}");
}

//! The source `http` in the deployed function: the real bootstraps with an S3 API, an event bus, a secrets manager and an HTTP API.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::api_server::{Api, Auth, Bound, Filter, Paging, Style, Time};
use crate::support::http_server::{reply, serve};
use crate::support::lambda::{Answer, Stack};
use crate::support::orders_api::{FIELDS, define, order, orders};
use crate::support::wait::HANG;

const TIME: Duration = HANG;

/// AWS Secrets Manager, of which only `GetSecretValue` works; `None` means that the secret does not exist. Returns the endpoint.
fn secrets(secret: &Arc<Mutex<Option<&'static str>>>) -> String {
    let secret = secret.clone();
    let address = serve(move |asked| {
        let secret = secret.clone();
        async move {
            let target = asked.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
            assert_eq!(target, Some("secretsmanager.GetSecretValue"));
            let request: Value = serde_json::from_slice(&asked.body).unwrap();
            assert_eq!(request["SecretId"], "tidemark/orders-api-token");
            match *secret.lock().unwrap() {
                Some(text) => reply(200, json!({"Name": request["SecretId"], "SecretString": text}).to_string()),
                None => reply(400, json!({"__type": "ResourceNotFoundException", "Message": "none"}).to_string()),
            }
        }
    });
    format!("http://{address}")
}

#[test]
fn a_schedule_starts_the_fetch_and_every_dependent_step() {
    let filter = Filter { time: Time::Rfc3339, since: Bound::Inclusive, until: Bound::Exclusive };
    let api = Api::new(Style { filter: Some(filter), ..Style::for_paging(Paging::Cursor) }, FIELDS, &orders(143));
    api.guard(Auth::Header("authorization", "Bearer hush-and-more"));
    let pipelines = tempfile::tempdir().unwrap();
    let source = "auth = { bearer = { secret = 'orders-api-token' } }
        records = '/data'
        pagination = { kind = 'cursor', next = '/meta/next' }
        incremental = { column = 'at', parameter = 'since', lookback = '1h' }";
    let model =
        "[[model]]\nname = 'orders_counted'\nsql = 'SELECT COUNT(*) AS orders, SUM(amount) AS amount FROM orders'";
    let text = format!("{}\n{model}", define(&format!("{}/v1/orders", api.origin()), source));
    std::fs::write(pipelines.path().join("orders.toml"), text).unwrap();
    let secret = Arc::new(Mutex::new(None));
    let stack = Stack::with_variables(1, pipelines.path(), &[("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets(&secret))]);
    let schedule = |at: &str| json!({"pipeline": "orders", "scheduled_time": at});

    // The secret does not exist yet.
    let event = schedule("2026-01-02T08:00:00Z");
    match stack.named("ingest", 0).invoke(&event, TIME) {
        Answer::Failed(kind, message) => {
            assert_eq!(kind, "definition", "{message}");
            assert!(message.contains("tidemark/orders-api-token"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    *secret.lock().unwrap() = Some("hush-and-more");
    let records: Vec<Value> = stack.carry(event, TIME).into_iter().map(Answer::record).collect();
    let steps: Vec<&str> = records.iter().map(|record| record["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["ingest", "clean", "model orders_counted"]);
    assert_eq!((&records[0]["rows"]["in"], &records[0]["requests"]["api"]), (&json!(143), &json!(15)));

    // The next run reads only what has changed.
    let mut more = orders(143);
    more[4] = order(5, 150, "1.00");
    api.replace(&more);
    let records: Vec<Value> =
        stack.carry(schedule("2026-01-02T12:00:00Z"), TIME).into_iter().map(Answer::record).collect();
    assert_eq!(records[0]["rows"]["written"], 1, "{}", records[0]);
    assert_eq!(records[1]["rows"]["updated"], 1, "{}", records[1]);
    let log = stack.named("ingest", 0).log();
    assert!(!log.contains("hush-and-more"), "{log}");
}

//! Target `postgres` in the deployed functions: the real bootstraps with an S3 API, an event bus and a server.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::lambda::{Answer, Stack};
use crate::support::postgres::database;
use crate::support::wait::HANG;

const TIME: Duration = HANG;

#[test]
fn a_schedule_loads_the_table() {
    let Some(database) = database() else { return };
    let pipelines = tempfile::tempdir().unwrap();
    let text = format!(
        "[source]\nkind = 'files'\npath = '${{SALES}}'\nformat = 'csv'\n[contract]\nkey = 'id'\n[contract.columns]\n\
         id = 'int64'\nnote = 'string'\nprice = 'decimal(12,2)'\n\
         [[target]]\nkind = 'postgres'\nurl = '{}'\ndataset = 'notes'\nschema = 'shop'\ntable = 'notes'\nmode = 'upsert'\n",
        database.url()
    );
    std::fs::write(pipelines.path().join("notes.toml"), text).unwrap();
    let stack = Stack::with(1, pipelines.path());
    let run = |at: &str| -> Vec<Value> {
        let event = json!({"pipeline": "notes", "scheduled_time": at});
        stack.carry(event, TIME).into_iter().map(Answer::record).collect()
    };
    stack.put_sales("1.csv", "id,note,price\n1,a,1.50\n2,b,2.50\n");
    let records = run("2026-01-02T08:00:00Z");
    let load = records.last().unwrap();
    assert_eq!((&load["step"], &load["rows"]["written"]), (&json!("load postgres-notes"), &json!(2)), "{load}");
    stack.put_sales("2.csv", "id,note,price\n2,B,2.50\n3,c,3.50\n");
    let records = run("2026-01-03T08:00:00Z");
    let rows = &records.last().unwrap()["rows"];
    assert_eq!((&rows["written"], &rows["updated"], &rows["deleted"]), (&json!(1), &json!(1), &json!(0)), "{rows}");
    let found = database.query("SELECT string_agg(concat_ws(' ', id, note, price), ', ' ORDER BY id) FROM shop.notes");
    assert_eq!(found[0][0].as_deref(), Some("1 a 1.50, 2 B 2.50, 3 c 3.50"));

    // A duplicate of the event; then a load into a table whose column has another type.
    let due = json!({
        "detail-type": "step due", "source": "tidemark", "time": "2026-01-03T08:00:00Z",
        "detail": {"pipeline": "notes", "step": "load postgres-notes", "function": "load", "chain": "again",
            "scheduled_time": "2026-01-03T08:00:00Z"},
    });
    let again = stack.named("load", 0).invoke(&due, TIME).record();
    assert_eq!(again["status"], "nothing_to_do", "{again}");
    database.query("ALTER TABLE shop.notes DROP COLUMN note, ADD COLUMN note bigint");
    stack.put_sales("3.csv", "id,note,price\n4,d,4.50\n");
    let event = json!({"pipeline": "notes", "scheduled_time": "2026-01-04T08:00:00Z"});
    match stack.carry(event, TIME).pop().unwrap() {
        Answer::Failed(kind, message) => {
            assert_eq!(kind, "definition", "{message}");
            assert!(message.contains("column \"note\" of table \"shop\".\"notes\" has type bigint"), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

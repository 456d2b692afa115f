//! What the executor makes of a step that panics.

use std::sync::Arc;

use object_store::memory::InMemory;
use tidemark_flow::{Context, ErrorKind, Executor, Runnable as _, Status, Trigger, host, watch_panics};
use tidemark_lake::{Lake, Store};

use crate::crash::house::runtime;
use crate::support::running::{self, Looks};

#[test]
fn a_panic_is_an_error_with_its_place() {
    watch_panics();
    let lake = Lake::open(Store::new(Arc::new(InMemory::new()), "memory", runtime()), true).unwrap();
    let scratch = std::env::temp_dir();
    let context = running::context(&lake, &host::now, &host::run_id, &scratch);
    let step = Looks(|_: &Context<'_>| panic!("seven is not a colour"));
    let record = step.run(&context, Executor::SEQUENTIAL, &Trigger::at(host::now(), "chain"));
    let error = record.error.unwrap();
    assert_eq!((record.status, error.kind), (Status::Failed, ErrorKind::Bug));
    assert!(error.message.contains("clean of orders panicked at tests/executor.rs:"), "{}", error.message);
    assert!(error.message.ends_with("seven is not a colour"), "{}", error.message);
    assert_eq!(lake.runs(10).unwrap().len(), 1);
}

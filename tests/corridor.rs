//! What the corridor makes of a step that panics.

use std::sync::Arc;

use bytes::Bytes;
use object_store::memory::InMemory;
use tidemark_flow::{
    Context, Drafted, Drafting, Failure, Kind, Machine, Quiet, Size, Status, Step, Trigger, host, walk,
};
use tidemark_lake::{Lake, Outcome, Store};
use tidemark_pipeline::StepId;

use crate::crash::house::runtime;

struct Panics;

impl Step for Panics {
    type Plan = ();
    type Draft = ();

    fn pipeline(&self) -> &str {
        "orders"
    }

    fn id(&self) -> StepId {
        StepId::Clean
    }

    fn plan(&self, _: &Context<'_>, _: &Trigger) -> Result<Option<()>, Failure> {
        Ok(Some(()))
    }

    fn size(&self, (): &()) -> Size {
        Size::default()
    }

    fn draft(&self, _: &Context<'_>, (): (), _: &str, _: Option<Bytes>) -> Result<Drafting<()>, Failure> {
        panic!("seven is not a colour")
    }

    fn commit(&self, _: &Context<'_>, (): (), _: &mut Drafted) -> Result<Outcome, Failure> {
        unreachable!()
    }
}

#[test]
fn a_panic_is_an_error_with_its_place() {
    host::watch_panics();
    let lake = Lake::open(Store::new(Arc::new(InMemory::new()), "memory", runtime()), true).unwrap();
    let context = Context {
        lake: &lake,
        locate: &|_| unreachable!(),
        folder: &|_| unreachable!(),
        clock: &host::now,
        run_id: &host::run_id,
        peak_memory: &|| 0,
        meter: lake.store().meter(),
        secret: &|name| Err(tidemark_flow::Failure::new(tidemark_flow::Kind::Definition, format!("no secret {name}"))),
        progress: &Quiet,
        memory: 1 << 30,
        scratch: std::env::temp_dir(),
        deadline: None,
        machine: Machine::DEPLOYED,
        mark_after: tidemark_flow::MARK_AFTER,
        billed_from: None,
    };
    let record = walk(&context, &Trigger::at(host::now(), "chain"), &Panics);
    let error = record.error.unwrap();
    assert_eq!((record.status, error.kind), (Status::Failed, Kind::Bug));
    assert!(error.message.contains("clean of orders panicked at tests/corridor.rs:"), "{}", error.message);
    assert!(error.message.ends_with("seven is not a colour"), "{}", error.message);
    assert_eq!(lake.runs(10).unwrap().len(), 1);
}

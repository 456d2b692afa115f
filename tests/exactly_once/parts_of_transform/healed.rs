//! What was broken under one contract and is whole under the next: the quarantine remembers it, the same in however many parts, and
//! whatever call of the step fails.

use object_store::memory::InMemory;
use tidemark_lake::{CommitInfo, Draft, Outcome, Writer};

use super::*;
use crate::support::faulty_store::{Aim, Call, Fault, Faulty, Plan};

/// Orders without an amount are valid, except for the record that is not an order at all.
fn mend(shop: &Shop) {
    let path = shop.path("pipelines/shop.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text
        .replace("amount = 'decimal(12,2)'", "amount = { type = 'decimal(12,2)', nulls = ['n/a'] }")
        .replace("[contract.columns]", "[contract.check]\nreal = 'id <> 5'\n\n[contract.columns]");
    std::fs::write(path, text).unwrap();
}

/// `object:row rule healed` of every row of the quarantine, in order.
fn quarantine(reader: &Reader<'_>) -> Vec<String> {
    let lake = reader.lake();
    let table = lake.existing(&"orders.quarantine".parse().unwrap()).unwrap();
    let rows = table.read(&lake, &table.files(&lake).unwrap()).unwrap();
    let text = |name: &str, at: usize| match rows.column(name).unwrap().get(at).unwrap() {
        polars::prelude::AnyValue::Null => "-".to_owned(),
        value => value.str_value().into_owned(),
    };
    let healed = |at| if text("healed_by", at) == "-" { "broken" } else { "healed" };
    let row = |at| format!("{}:{} {} {}", text("_object", at), text("_row", at), text("rule", at), healed(at));
    (0..rows.height()).map(row).collect()
}

#[test]
fn in_parts_and_at_once_the_same_is_remembered() {
    for contract in [BAG, KEYED] {
        let shop = Shop::new(contract);
        let mut one = Reader::new(&shop, Backend::Memory, ROOMY, None);
        let mut parts = Reader::new(&shop, Backend::Memory, TIGHT, Some(2));
        let both = |one: &Reader<'_>, parts: &Reader<'_>, what: &str| {
            one.run();
            parts.run();
            assert_same(one, parts, &format!("{contract}: {what}"));
            quarantine(one)
        };
        (1..=3).for_each(|file| shop.sell(file, 60, 0));
        let broken = both(&one, &parts, "broken");
        assert_eq!(broken.len(), 6);
        assert!(broken.iter().all(|row| row.ends_with("type broken")), "{broken:?}");
        mend(&shop);
        (one.graph, parts.graph) = (shop.graph(), shop.graph());
        let healed = both(&one, &parts, "healed");
        let expected: Vec<String> = (1..=3)
            .flat_map(|file| [format!("{file}.csv:7 real broken"), format!("{file}.csv:44 type healed")])
            .collect();
        assert_eq!(healed, expected, "{contract}");
        // a file that is replaced, and one that comes: what is remembered of the others stays
        shop.sell(2, 20, 1);
        shop.sell(4, 60, 0);
        let later = both(&one, &parts, "later");
        let of = |file: usize, rows: &[&str]| rows.iter().map(|row| format!("{file}.csv:{row}")).collect::<Vec<_>>();
        let both_rows = ["7 real broken", "44 type healed"];
        let expected = [of(1, &both_rows), of(2, &both_rows[..1]), of(3, &both_rows), of(4, &both_rows[..1])].concat();
        assert_eq!(later, expected, "{contract}");
    }
}

#[test]
fn whatever_call_fails_the_next_run_remembers_the_same() {
    let shop = Shop::new(BAG);
    (1..=2).for_each(|file| shop.sell(file, 60, 0));
    let before = Arc::new(InMemory::new());
    let mut reader = Reader::new(&shop, Backend::Memory, ROOMY, None);
    reader.store = before.clone();
    reader.invoke(&StepId::Ingest, 0, None);
    reader.invoke(&StepId::Clean, 0, None);
    mend(&shop);
    reader.graph = shop.graph();
    let plan = Plan::clean();
    reader.store = Arc::new(Faulty::new(Arc::new(before.fork()), &plan));
    assert_eq!(reader.invoke(&StepId::Clean, 0, None).status, Status::Done);
    let datasets = ["orders", "orders.quarantine"];
    let (clean, remembered) = (datasets.map(|dataset| reader.standing(dataset)), quarantine(&reader));
    assert_eq!(remembered.iter().filter(|row| row.ends_with("type healed")).count(), 2);
    let puts = plan.calls().iter().filter(|(call, _)| *call == Call::Put).count();
    let mut befell = 0;
    for fault in [Fault::GoneBefore, Fault::GoneAfter, Fault::ErrorAfter] {
        for nth in 0..plan.calls().len() {
            let fork = Arc::new(before.fork());
            let faulty = Plan::new(Aim::Nth(nth), fault);
            reader.store = Arc::new(Faulty::new(fork.clone(), &faulty));
            let died =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| reader.invoke(&StepId::Clean, 0, None)));
            befell += usize::from(faulty.has_hit());
            reader.store = fork;
            let again = reader.invoke(&StepId::Clean, 0, None);
            assert_ne!(again.status, Status::Failed, "{fault:?} at {nth}, {died:?}: {again:#?}");
            assert_eq!(datasets.map(|dataset| reader.standing(dataset)), clean, "{fault:?} at {nth}");
            assert_eq!(quarantine(&reader), remembered, "{fault:?} at {nth}");
        }
    }
    assert!(puts >= 4 && befell > 3 * puts, "{puts} {befell}");
}

#[test]
fn what_is_not_published_heals_nothing() {
    let shop = Shop::new(&format!("max_quarantined = 4\n{BAG}"));
    (1..=2).for_each(|file| shop.sell(file, 60, 0));
    let mut reader = Reader::new(&shop, Backend::Memory, ROOMY, None);
    reader.run();
    let path = shop.path("pipelines/shop.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    // the words are amounts now, and every amount over 50 is too much
    let strict = text.replace("'decimal(12,2)'", "{ type = 'decimal(12,2)', nulls = ['n/a'], max = 50 }");
    std::fs::write(&path, strict).unwrap();
    reader.graph = shop.graph();
    reader.invoke(&StepId::Ingest, 0, None);
    let (record, _) = reader.walk(&StepId::Clean);
    assert_eq!(record.error.map(|error| error.kind), Some(ErrorKind::Data));
    let rows = quarantine(&reader);
    assert!(rows.iter().all(|row| row.ends_with("broken")), "{rows:?}");
    assert_eq!(rows.iter().filter(|row| row.contains("type")).count(), 4, "{rows:?}");
    std::fs::write(&path, text.replace("'decimal(12,2)'", "{ type = 'decimal(12,2)', nulls = ['n/a'] }")).unwrap();
    reader.graph = shop.graph();
    reader.run();
    let rows = quarantine(&reader);
    assert!(rows.len() == 22 && rows.iter().all(|row| row.ends_with("healed")), "{rows:?}");
}

/// As a version of this program made it that knew of no healing.
fn forget_columns(reader: &Reader<'_>) {
    let lake = reader.lake();
    let dataset: DatasetName = "orders.quarantine".parse().unwrap();
    let table = lake.existing(&dataset).unwrap();
    let removes = table.files(&lake).unwrap();
    let mut adds = Vec::new();
    let mut schema = table.schema().clone();
    for name in ["_page", "healed_by"] {
        schema.shift_remove(name).unwrap();
    }
    for file in &removes {
        let rows = table.read(&lake, std::slice::from_ref(file)).unwrap().drop_many(["_page", "healed_by"]);
        let mut writer = Writer::new(&lake, &dataset, &schema, file.partition.clone());
        writer.write(&rows).unwrap();
        adds.extend(writer.finish(false).unwrap());
    }
    let draft = Draft {
        dataset,
        schema,
        partition_by: table.partition_by(),
        adds,
        removes,
        consumed: Vec::new(),
        meta: table.meta(&lake).unwrap(),
        info: CommitInfo { run_id: run_id(), step: "quarantine".into(), balance: serde_json::Value::Null },
    };
    assert!(matches!(draft.commit(&lake, Some(&table)).unwrap(), Outcome::Committed(_)));
}

#[test]
fn an_older_quarantine_gets_its_columns() {
    let shop = Shop::new(BAG);
    (1..=2).for_each(|file| shop.sell(file, 60, 0));
    let mut reader = Reader::new(&shop, Backend::Memory, ROOMY, None);
    reader.run();
    forget_columns(&reader);
    // nothing has come, and who asks for what has healed is to be answered all the same
    reader.run();
    let broken = quarantine(&reader);
    assert_eq!(broken.iter().filter(|row| row.ends_with("type broken")).count(), 4, "{broken:?}");
    forget_columns(&reader);
    mend(&shop);
    reader.graph = shop.graph();
    reader.run();
    let rows = quarantine(&reader);
    assert_eq!(rows, ["1.csv:7 real broken", "1.csv:44 type healed", "2.csv:7 real broken", "2.csv:44 type healed"]);
}

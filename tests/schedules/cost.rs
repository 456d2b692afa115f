//! What a look of the watcher costs: over few pipelines and many, when nothing has happened, when one has run, when all have.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt as _};
use tempfile::TempDir;
use tidemark::args::Common;
use tidemark::environment::LocalEnvironment;
use tidemark_flow::{Bus, Context, Error, Quiet, Selection, Status, StepDue, Trigger, host};
use tidemark_lake::{Lake, Meter, Requests, Store};
use tidemark_pipeline::Graph;
use watch::{Channels, LakeSnapshot, TickReport};

use crate::support::running::runs;
use crate::support::s3_server::Server;
use crate::support::virtual_clock::at;

/// Pipeline `pipe-000` and those that are like it. `000` is in nothing but its names.
const DEFINITION: &str = r#"
schedule = { rate = "1 day" }

[source]
kind = "files"
path = "IN/pipe-000"

[contract]
dataset = "data_000"
partition_by = { column = "day", every = "month" }

[contract.columns]
day = { type = "date", required = true }
amount = { type = "int64", required = true }

[[model]]
name = "model_000"
sql = "SELECT day, SUM(amount) AS amount FROM data_000 GROUP BY day"

[[target]]
kind = "sqlite"
dataset = "model_000"
path = "OUT/pipe-000.db"
table = "sums"
mode = "upsert"
key = ["day"]

[alerts]
slack = { secret = "slack-webhook" }
"#;

type Objects = BTreeMap<String, Bytes>;

/// Lakes in which every pipeline has run once; the first once more; all once more.
struct Town {
    folder: TempDir,
    world: LocalEnvironment,
    graph: Graph,
    stages: [Objects; 3],
}

const RUNS: [&str; 2] = ["2026-03-02T08:00:00Z", "2026-03-02T10:00:00Z"];

fn named(text: &str, nth: usize) -> String {
    ["pipe-", "data_", "model_"]
        .iter()
        .fold(text.to_owned(), |text, name| text.replace(&format!("{name}000"), &format!("{name}{nth:03}")))
}

impl Town {
    fn new(pipelines: usize) -> Town {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["pipelines", "in/pipe-000", "out"] {
            std::fs::create_dir_all(path(name)).unwrap();
        }
        let text = DEFINITION.replace("IN", path("in").to_str().unwrap());
        let text = text.replace("OUT", path("out").to_str().unwrap());
        for nth in 0..pipelines {
            std::fs::write(path(&format!("pipelines/pipe-{nth:03}.toml")), named(&text, nth)).unwrap();
        }
        let common = Common { lake: "lake".into(), pipelines: path("pipelines"), parameters: Vec::new(), json: true };
        let graph = tidemark::load(&common, Selection::Named(&[])).unwrap();
        let mut town = Town { world: LocalEnvironment::new().unwrap(), graph, stages: Default::default(), folder };
        let memory = Arc::new(InMemory::new());
        let lake = town.lake(memory.clone());
        let mut first = Vec::new();
        for (nth, morning) in RUNS.iter().enumerate() {
            let file = format!("day,amount\n2026-03-0{},3\n2026-03-0{},4\n", nth + 1, nth + 1);
            std::fs::write(town.folder.path().join(format!("in/pipe-000/{nth}.csv")), file).unwrap();
            town.with_context(&lake, at(morning), |context| {
                let trigger = Trigger { always_record: true, ..Trigger::at(at(morning), "chain") };
                let records = runs(context, &town.world, &town.graph, &["pipe-000".to_owned()], &trigger);
                assert!(records.len() == 4 && records.iter().all(|record| record.status == Status::Done));
            });
            first.push(objects(&memory));
        }
        let [once, twice] = first.try_into().unwrap();
        let all = |objects: &Objects| (0..pipelines).flat_map(|nth| like(objects, nth)).collect::<Objects>();
        let (all_once, all_twice) = (all(&once), all(&twice));
        town.stages = [all_once.clone(), all_once.into_iter().chain(like(&twice, 0)).collect(), all_twice];
        town
    }

    fn lake(&self, store: Arc<dyn ObjectStore>) -> Lake {
        Lake::open(Store::new(store, "lake", self.world.handle()), true).unwrap()
    }

    fn with_context<T>(&self, lake: &Lake, now: Timestamp, act: impl FnOnce(&Context<'_>) -> T) -> T {
        let (clock, run_id) = (|| now, || host::run_id_at(now));
        self.world.with_context(lake, &Quiet, |context| act(&Context { clock: &clock, run_id: &run_id, ..*context }))
    }

    /// One look, of a watcher that has just come or of one that was there before.
    fn tick(&self, lake: &Lake, now: Timestamp) -> (TickReport, Requests, f64) {
        let before = lake.store().requests();
        let began = Instant::now();
        let ticked = self.with_context(lake, now, |context| {
            let mailer = watch::channel::Smtp::from_variables(|_| None, &self.world, context.clock);
            let channels = Channels::new(&self.world, &mailer, context.clock, self.world.handle());
            let view = LakeSnapshot { graph: &self.graph, broken: &[], arguments: String::new() };
            watch::tick(context, &view, &Nobody, &channels, "tick").unwrap()
        });
        (ticked, lake.store().requests() - before, began.elapsed().as_secs_f64() * 1000.0)
    }
}

struct Nobody;

impl Bus for Nobody {
    fn announce(&self, due: &[StepDue]) -> Result<(), Error> {
        assert!(due.is_empty(), "nothing is wrong: {due:?}");
        Ok(())
    }
}

fn objects(memory: &Arc<InMemory>) -> Objects {
    let store = Store::new(memory.clone(), "memory", crate::support::daily_sales::runtime());
    let found = store.list(None).unwrap();
    found.iter().map(|meta| (meta.location.to_string(), store.get(&meta.location).unwrap())).collect()
}

/// What a pipeline like the first would have left.
fn like(objects: &Objects, nth: usize) -> Objects {
    let runs: Vec<String> = objects
        .keys()
        .filter_map(|key| key.strip_prefix("runs/")?.get(11..)?.strip_suffix(".json").map(str::to_owned))
        .collect();
    let own = |text: &str| {
        runs.iter().fold(named(text, nth), |text, run_id| {
            text.replace(run_id.as_str(), &format!("{}{nth:03}", &run_id[..run_id.len() - 3]))
        })
    };
    let copy = |(key, bytes): (&String, &Bytes)| {
        let bytes =
            if key.ends_with(".json") { Bytes::from(own(std::str::from_utf8(bytes).unwrap())) } else { bytes.clone() };
        (own(key), bytes)
    };
    objects.iter().map(copy).collect()
}

/// Where the lake is.
enum Place {
    Memory(Arc<InMemory>),
    S3(Server, String),
}

impl Place {
    fn put(&self, objects: &Objects) {
        for (key, bytes) in objects {
            match self {
                Place::Memory(memory) => {
                    let key = object_store::path::Path::from(key.as_str());
                    if futures::executor::block_on(memory.head(&key)).is_err() {
                        futures::executor::block_on(memory.put(&key, bytes.clone().into())).unwrap();
                    }
                }
                Place::S3(server, _) => {
                    let path = server.folder("lake").join(Path::new(key));
                    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                    if !path.exists() {
                        std::fs::write(path, bytes).unwrap();
                    }
                }
            }
        }
    }

    /// As a process opens it.
    fn lake(&self, town: &Town) -> Lake {
        match self {
            Place::Memory(memory) => town.lake(memory.clone()),
            Place::S3(server, place) => {
                let buckets = server.buckets(town.world.handle(), &Meter::default());
                Lake::open(buckets.folder(place).unwrap(), false).unwrap()
            }
        }
    }
}

fn line(what: &str, (ticked, requests, ms): &(TickReport, Requests, f64)) -> String {
    let Requests { get, put, list, .. } = requests;
    format!("{what:<34} {:>5} records  {get:>5} GET {put:>3} PUT {list:>3} LIST  {ms:>8.1} ms", ticked.records)
}

/// The looks at one lake, by what has happened before each.
fn looks(pipelines: usize, place: &Place, name: &str) -> Vec<Requests> {
    let town = Town::new(pipelines);
    let minute = |n: i64| at(RUNS[0]) + SignedDuration::from_mins(n);
    place.put(&town.stages[0]);
    let lake = place.lake(&town);
    let mut all = Vec::new();
    let mut look = |what: &str, lake: &Lake, now: Timestamp| {
        let looked = town.tick(lake, now);
        println!("{name:<6} {pipelines:>3} pipelines  {}", line(what, &looked));
        assert_eq!((looked.0.pipelines, looked.0.open, looked.0.announced), (pipelines, 0, 0), "{:?}", looked.0);
        // each clean dataset and model is complete up to the midnight before
        let lags = &looked.0.lag_seconds;
        let since = now.duration_since(at("2026-03-02T00:00:00Z")).as_secs().cast_unsigned();
        assert!(lags.len() == 2 * pipelines && lags.values().all(|lag| *lag == since), "{lags:?}");
        all.push((looked.0.records, looked.1));
    };
    look("the first", &lake, minute(5));
    look("nothing has happened", &lake, minute(10));
    look("nothing, a new process", &place.lake(&town), minute(15));
    look("nothing, two are looked at again", &lake, minute(45));
    look("nothing, the same in a new process", &place.lake(&town), minute(50));
    place.put(&town.stages[1]);
    look("one has run", &lake, minute(125));
    place.put(&town.stages[2]);
    look("all have run", &lake, minute(130));
    look("nothing has happened", &lake, minute(135));
    let records: Vec<usize> = all.iter().map(|(records, _)| *records).collect();
    assert_eq!(records, [4 * pipelines, 0, 0, 0, 0, 4, 4 * (pipelines - 1), 0]);
    all.into_iter().map(|(_, requests)| requests).collect()
}

/// A quiet look asks for what the watcher keeps and for the runs of today; the number of pipelines is no matter.
fn is_few(few: &[Requests], many: &[Requests]) {
    for quiet in [1, 2, 7] {
        for Requests { get, put, list, .. } in [few[quiet], many[quiet]] {
            assert!(get <= 2 && put == 0 && list <= 2, "{:?}", (few[quiet], many[quiet]));
        }
    }
    for in_turn in [3, 4] {
        let (few, many) = (few[in_turn], many[in_turn]);
        assert!(many.get <= few.get && many.get <= 40 && many.put <= 1, "{few:?} {many:?}");
    }
    // of what has run its records, some at a time; their logs only where these do not say that all is well
    for (ran, records, many) in
        [("one", 4, many[5]), ("all", 4 * 199, many[6]), ("all, and the first look", 800, many[0])]
    {
        assert!(many.get <= records + 80 && many.put <= 1 && many.list <= 20, "{ran}: {many:?}");
    }
}

#[test]
fn a_quiet_look_costs_the_same_over_10_and_200_pipelines() {
    let memory = || Place::Memory(Arc::new(InMemory::new()));
    is_few(&looks(10, &memory(), "memory"), &looks(200, &memory(), "memory"));
    let s3 = || {
        let server = Server::atomic();
        let place = server.bucket("lake");
        Place::S3(server, place)
    };
    is_few(&looks(10, &s3(), "S3"), &looks(200, &s3(), "S3"));
}

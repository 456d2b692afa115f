//! The repository's own pipelines with every task of every step in a process of its own, shuffled and done twice: what stands in the
//! lake, in the reports and in the databases is what one process makes of it.

use std::collections::BTreeMap;
use std::path::Path;

use tempfile::TempDir;
use tidemark::load;
use tidemark_flow::{Executor, Selection, Status, Trigger};
use tidemark_pipeline::DatasetName;

use crate::support::api_server::{Api, Fields, Paging, Style};
use crate::support::daily_sales::sales::{MORNINGS, Sales};
use crate::support::daily_sales::{pipelines, rows_of, run_id};
use crate::support::postgres::{Database, Rows, database};
use crate::support::running::{self, runner};

use crate::support::task_processes::OwnProcesses;

/// A lake, a folder of reports and a database.
struct Site {
    folder: TempDir,
    database: Database,
}

/// What stands in all of them.
#[derive(Debug, PartialEq)]
struct Standing {
    /// By dataset: version, what its log remembers beside it, and paths and sizes of its files.
    datasets: BTreeMap<String, (i64, String, BTreeMap<String, u64>)>,
    reports: BTreeMap<String, Vec<u8>>,
    /// Tables of PostgreSQL and of the SQLite file.
    orders: [Rows; 2],
    sales: Vec<String>,
}

impl Site {
    fn new() -> Option<Site> {
        let (folder, database) = (tempfile::tempdir().unwrap(), database()?);
        ["lake", "reports"].iter().for_each(|name| std::fs::create_dir(folder.path().join(name)).unwrap());
        Some(Site { folder, database })
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Runs every step that is due.
    fn run(&self, sales: &Path, api: &Api, morning: &str, in_processes: bool) {
        let own = OwnProcesses {
            lake: self.path("lake"),
            pipelines: pipelines().display().to_string(),
            parameters: [
                ("SALES", sales.display().to_string()),
                ("REPORTS", self.path("reports")),
                ("ORDERS_API", api.origin()),
                ("WAREHOUSE", self.database.url()),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
            secrets: ["orders-api-token", "warehouse-password"].map(|name| (name.into(), "none".into())).into(),
            now: morning.parse().unwrap(),
        };
        let executor = if in_processes { Executor::Remote(&own) } else { Executor::SEQUENTIAL };
        let world = own.world();
        let (graph, lake) = (load(&own.common(), Selection::Named(&[])).unwrap(), world.lake(&own.lake).unwrap());
        let clock = || own.now;
        let context = running::context(&lake, &clock, &run_id, self.folder.path());
        let mut runner = runner(&context, &world, &graph);
        runner.executor = executor;
        let records = runner.run_all(&[], &Trigger::at(own.now, "tasks")).unwrap();
        // ingest, clean, model, two or three loads of each pipeline
        assert!(records.len() > 8, "{records:#?}");
        for record in &records {
            assert_eq!(record.status, Status::Done, "{record:#?}");
        }
    }

    fn standing(&self, world: &tidemark::environment::LocalEnvironment) -> Standing {
        let lake = world.lake(&self.path("lake")).unwrap();
        let dataset = |name: DatasetName| {
            let table = lake.existing(&name).unwrap();
            let files = table.files(&lake).unwrap().into_iter().map(|file| (file.path, file.bytes)).collect();
            (name.to_string(), (table.version(), format!("{:?}", table.meta(&lake).unwrap()), files))
        };
        let reports = std::fs::read_dir(self.path("reports")).unwrap().map(|entry| entry.unwrap().path());
        let reports = reports.filter(|path| path.extension().is_some_and(|end| end == "csv" || end == "xlsx"));
        let named = |path: std::path::PathBuf| {
            (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap())
        };
        Standing {
            datasets: lake.datasets().unwrap().into_iter().map(dataset).collect(),
            reports: reports.map(named).collect(),
            orders: ["orders", "orders_by_day"]
                .map(|table| self.database.query(&format!("SELECT * FROM {table} ORDER BY 1, 2"))),
            sales: rows_of(Path::new(&self.path("reports/sales.db")), "SELECT * FROM sales_by_day ORDER BY sold_on"),
        }
    }
}

/// Order `id` of the shop, changed so often.
fn order(id: usize, edition: usize) -> String {
    let (day, hour, amount) = (1 + id % 2, 8 + edition, if id == 7 { "\"seven\"".into() } else { format!("{id}.25") });
    format!(
        r#"{{"id": {id}, "created_at": "2026-03-{day:02}T07:00:00Z", "updated_at": "2026-03-{day:02}T{hour:02}:00:{:02}Z", "customer": {{"id": {}, "country": "FR"}}, "amount": {amount}, "currency": "EUR", "status": "paid"}}"#,
        id % 60,
        id % 9
    )
}

#[test]
fn every_task_in_a_process_of_its_own_comes_to_the_same() {
    let (Some(one), Some(other)) = (Site::new(), Site::new()) else { return };
    let sales = Sales::new(60);
    let orders = |ids: std::ops::RangeInclusive<usize>, edition| ids.map(|id| order(id, edition)).collect::<Vec<_>>();
    let fields = Fields { id: "/id", time: "/updated_at" };
    let api = Api::new(Style::for_paging(Paging::Cursor), fields, &orders(1..=45, 0));
    let world = tidemark::environment::LocalEnvironment::new().unwrap();
    for (nth, morning) in MORNINGS.into_iter().enumerate() {
        one.run(&sales.folder(nth), &api, morning, false);
        other.run(&sales.folder(nth), &api, morning, true);
        let standing = other.standing(&world);
        assert_eq!(standing, one.standing(&world), "morning {morning}");
        assert!(standing.datasets.len() > 7 && standing.reports.len() > nth, "{standing:#?}");
        // one of them is broken
        assert_eq!(standing.orders[0].len(), [44, 59][nth]);
        api.replace(&[orders(1..=30, 0), orders(31..=60, 1)].concat());
    }
}

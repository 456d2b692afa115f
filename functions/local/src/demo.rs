//! `tidemark demo`: runs the pipelines over two days of synthetic, messy sales and orders. It needs only this binary and a folder.

mod api;
mod data;

use std::path::Path;

use anyhow::Context as _;
use tidemark_flow::{Error, ErrorKind, Secret, Selection, Trigger, host};

use crate::args::Common;
use crate::definitions::load;
use crate::environment::LocalEnvironment;
use crate::exit::Exit;
use crate::print;
use crate::progress::Bar;
use crate::run::{exit_of, with_runner};
use api::{Api, TOKEN};
use data::{orders_by, sales_of};

macro_rules! pipeline_files {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../../../infra/pipelines/", $name)))),+]
    };
}

/// The pipelines of the repository, so that the demo runs the real ones.
const PIPELINES: [(&str, &str); 12] = pipeline_files![
    "daily-sales.toml",
    "daily-sales/sales_by_day.sql",
    "daily-sales/sales_by_product.sql",
    "daily-sales/sales_by_country.sql",
    "daily-sales/sales_by_hour.sql",
    "daily-sales/report_summary.sql",
    "daily-sales/report_products.sql",
    "daily-sales/report_countries.sql",
    "daily-sales/report_hours.sql",
    "daily-sales/report_quality.sql",
    "orders.toml",
    "orders/orders_by_day.sql",
];

/// The scheduled times of the demo, each with the day of its sales file, which is the day before.
const MORNINGS: [(&str, &str); 2] = [("2026-03-03T08:00:00Z", "2026-03-02"), ("2026-03-04T08:00:00Z", "2026-03-03")];

pub(crate) fn demo(common: &Common, folder: &Path) -> anyhow::Result<Exit> {
    if std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        let message = format!("{} is not empty", folder.display());
        return Err(Error::new(ErrorKind::Definition, message)
            .hint("name another folder: tidemark demo FOLDER")
            .into());
    }
    let write = |name: &str, text: &str| -> anyhow::Result<()> {
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent)
            .and_then(|()| std::fs::write(&path, text))
            .with_context(|| format!("writing {}", path.display()))
    };
    for (name, text) in PIPELINES {
        write(&format!("pipelines/{name}"), text)?;
    }
    let api = Api::start().context("starting the demo's API")?;
    let at = |name: &str| folder.join(name).display().to_string();
    let common = Common {
        lake: at("lake"),
        pipelines: folder.join("pipelines"),
        parameters: vec![
            ("SALES".into(), at("sales")),
            ("REPORTS".into(), at("reports")),
            ("ORDERS_API".into(), api.origin()),
            // overrides the environment: synthetic orders must not be loaded into a real warehouse
            ("WAREHOUSE".into(), String::new()),
        ],
        json: common.json,
    };
    let graph = load(&common, Selection::Named(&[]))?;
    let secret = "orders-api-token".parse().context("the name of the demo's secret")?;
    let local = LocalEnvironment::new()?.with_secret(secret, Secret::new(TOKEN));
    let lake = local.lake(&common.lake)?;
    let mut all = Vec::new();
    for (morning, day) in MORNINGS {
        write(&format!("sales/{day}.csv"), &sales_of(day))?;
        let orders = orders_by(day);
        let arrived = format!("the sales of {day} have arrived, and the shop's API has {} orders", orders.len());
        api.set_orders(orders);
        let scheduled_time = morning.parse().context("the demo's morning")?;
        if !common.json {
            print::line(&format!("{morning}: {arrived}"));
        }
        let began = host::now();
        let bar = Bar::new();
        let progress: &dyn tidemark_flow::Progress = if common.json { &tidemark_flow::Quiet } else { &bar };
        let trigger = Trigger::at(scheduled_time, host::run_id());
        let records =
            with_runner(&local, &common.lake, &lake, progress, &graph, |runner| runner.run_all(&[], &trigger))?;
        if !common.json {
            print::summary(&records, host::now().duration_since(began));
            print::line("");
        }
        all.extend(records);
    }
    if common.json {
        print::json(&serde_json::json!({"runs": all}))?;
        return Ok(exit_of(&all));
    }
    let lake = at("lake");
    print::line("Try next:");
    let by_day = ["sales_by_day", "orders_by_day"].map(|name| format!("sql \"SELECT * FROM {name}\""));
    let verbs = ["status", "quarantine list", &by_day[0], &by_day[1]];
    for verb in verbs.into_iter().chain(["show sales --history", "runs"]) {
        print::line(&format!("  tidemark {verb} --lake {lake}"));
    }
    print::line(&format!(
        "  tidemark run --pipelines {} --lake {lake} --set SALES=your-sales.csv --set REPORTS={}",
        at("pipelines"),
        at("reports"),
    ));
    Ok(exit_of(&all))
}

//! `tidemark verify`: compares database tables to their datasets.

use serde_json::json;
use tidemark_flow::{Error, Quiet, Selection};
use tidemark_pipeline::Target;

use crate::args::Common;
use crate::definitions::{load as definitions, select_pipelines};
use crate::environment::LocalEnvironment;
use crate::exit::Exit;
use crate::print;

/// Maximum number of different partitions shown per table.
const SHOWN: usize = 20;

pub(crate) fn verify(common: &Common, names: &[String]) -> anyhow::Result<Exit> {
    let (names, left_out) = select_pipelines(common, names);
    let graph = definitions(common, Selection::Named(&names))?;
    let local = LocalEnvironment::new()?;
    let lake = local.existing_lake(&common.lake)?;
    let mut verified = Vec::new();
    local.with_context(&lake, &Quiet, |context| {
        for pipeline in graph.pipelines() {
            if !names.is_empty() && !names.iter().any(|name| name == pipeline.name.as_str()) {
                continue;
            }
            for target in &pipeline.targets {
                if let Target::Postgres(target) = target {
                    let one = load::verify(context, &local, pipeline, target)?;
                    if !common.json {
                        show(&one);
                    }
                    verified.push(one);
                }
            }
        }
        Ok::<_, Error>(())
    })?;
    if common.json {
        let mut document = json!({"targets": verified});
        if !left_out.is_empty() {
            document["left_out"] = json!(left_out);
        }
        print::json(&document)?;
    } else {
        if verified.is_empty() {
            print::line("no target of kind `postgres` to compare");
        }
        left_out.iter().for_each(print::left_out);
    }
    let is_same = verified.iter().all(load::Verification::is_same);
    Ok(if is_same { Exit::Done } else { Exit::Failed })
}

fn show(verified: &load::Verification) {
    let load::Verification { pipeline, target, table, dataset, partitions, .. } = verified;
    let name = format!("{pipeline}  {target}");
    let Some(version) = verified.version else {
        print::line(&format!("{} {name}  {table}: nothing was loaded yet", print::cross()));
        print::line(&format!("    try: tidemark run {pipeline}"));
        return;
    };
    let different: Vec<_> = partitions.iter().filter(|partition| !partition.same).collect();
    let sum = |of: fn(&load::PartitionComparison) -> u64| partitions.iter().map(of).sum::<u64>();
    let (ours, theirs, refused) = (sum(|one| one.lake_rows), sum(|one| one.table_rows), sum(|one| one.refused));
    let is_same = different.is_empty();
    let mark = if is_same { print::tick() } else { print::cross() };
    let what = match is_same {
        true => format!("{} rows, the same", print::count(ours)),
        false => format!("{} rows in {dataset}, {} in the table", print::count(ours), print::count(theirs)),
    };
    print::line(&format!("{mark} {name}  {table} at version {version} of {dataset}: {what}"));
    if !is_same {
        print::line("");
        let line = |one: &&load::PartitionComparison| {
            let what = match (one.lake_rows, one.table_rows) {
                (ours, theirs) if ours > theirs => format!("{} missing", print::count(ours - theirs)),
                (ours, theirs) if ours < theirs => format!("{} too many", print::count(theirs - ours)),
                _ => "the same number of rows, with other values".to_owned(),
            };
            vec![one.partition.clone(), print::count(one.lake_rows), print::count(one.table_rows), what]
        };
        print::table(&[" PARTITION", "LAKE", "TABLE", ""], &[1, 2], different.iter().take(SHOWN).map(line).collect());
        if different.len() > SHOWN {
            print::line(&format!(" … {} more of {} partitions", different.len() - SHOWN, partitions.len()));
        }
        print::line("");
        print::line(&format!(
            "    all rows again: tidemark run {pipeline} --full (rows that exist only in the table are kept; drop the table to recreate it)"
        ));
    }
    if refused > 0 {
        print::line(&format!(
            "    {} rows were rejected by the database: see table tidemark_refused",
            print::count(refused)
        ));
    }
    if !verified.null_checked.is_empty() {
        print::line(&format!("    only NULLs compared: {}", verified.null_checked.join(", ")));
    }
    if let Some(latest) = verified.latest_version.filter(|latest| *latest > version) {
        print::line(&format!("    version {latest} of {dataset} is not loaded yet"));
    }
}

//! Checks across all pipelines: duplicate names, inputs that no pipeline produces, cycles.

use std::collections::BTreeMap;

use crate::diagnostic::{Diagnostic, UNKNOWN_DATASET, did_you_mean, one_of, quoted};
use crate::name::DatasetName;
use crate::read::Definition;
use crate::read::mention::Mention;

pub(super) fn check(definitions: &[Definition]) -> Vec<Diagnostic> {
    let mut diagnostics = same_pipeline(definitions);
    let mut producers: BTreeMap<&DatasetName, &Mention> = BTreeMap::new();
    for mention in definitions.iter().flat_map(|definition| &definition.outputs) {
        match producers.get(&mention.dataset) {
            Some(first) => diagnostics.push(mention.at.diagnostic(
                format!("a second dataset {}", quoted(mention.dataset.as_str())),
                "a unique name".to_owned(),
                Some(format!("the first is at {}", first.at)),
            )),
            None => {
                producers.insert(&mention.dataset, mention);
            }
        }
    }
    diagnostics.extend(unknown_inputs(definitions));
    diagnostics.extend(cycles(definitions, &producers));
    diagnostics.sort();
    diagnostics.dedup();
    diagnostics
}

fn same_pipeline(definitions: &[Definition]) -> Vec<Diagnostic> {
    let pairs = definitions.iter().zip(definitions.iter().skip(1));
    let same = pairs.filter(|(first, second)| first.pipeline.name == second.pipeline.name);
    let diagnostic = |(first, second): (&Definition, &Definition)| Diagnostic {
        file: second.file.clone(),
        line: 1,
        column: 1,
        found: format!("a second pipeline {}", quoted(second.pipeline.name.as_str())),
        expected: "a unique file name".to_owned(),
        hint: Some(format!("the first is {}", first.file)),
    };
    same.map(diagnostic).collect()
}

fn unknown_inputs(definitions: &[Definition]) -> Vec<Diagnostic> {
    let contracts = definitions.iter().filter_map(|definition| definition.pipeline.contract.as_ref());
    let clean = contracts
        .flat_map(|contract| [contract.dataset.clone(), contract.dataset.raw(), contract.dataset.quarantine()]);
    let models = definitions.iter().flat_map(|definition| &definition.pipeline.models).map(|model| model.name.clone());
    let mut known: Vec<DatasetName> = clean.chain(models).collect();
    known.sort();
    known.dedup();
    let names = || known.iter().map(DatasetName::as_str);
    let inputs = definitions.iter().flat_map(|definition| &definition.inputs);
    let unknown = inputs.filter(|mention| !known.contains(&mention.dataset));
    let diagnostic = |mention: &Mention| {
        let name = mention.dataset.as_str();
        let found = format!("{UNKNOWN_DATASET} {}", quoted(name));
        mention.at.diagnostic(found, one_of(names()), did_you_mean(name, names()))
    };
    unknown.map(diagnostic).collect()
}

/// One diagnostic per cycle of models, at its first dataset in file order.
fn cycles(definitions: &[Definition], producers: &BTreeMap<&DatasetName, &Mention>) -> Vec<Diagnostic> {
    let models = definitions.iter().flat_map(|definition| &definition.pipeline.models);
    let mut reads: BTreeMap<&DatasetName, &[DatasetName]> = BTreeMap::new();
    for model in models {
        reads.entry(&model.name).or_insert(&model.inputs);
    }
    let mut done: Vec<&DatasetName> = Vec::new();
    let mut diagnostics = Vec::new();
    for start in definitions.iter().flat_map(|definition| &definition.pipeline.models).map(|model| &model.name) {
        if done.contains(&start) {
            continue;
        }
        if let Some(mut cycle) = cycle_through(start, &reads) {
            done.extend(&cycle);
            // found from reader to input; shown in the direction of the data
            cycle.reverse();
            let shown = cycle.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" → ");
            if let Some(mention) = producers.get(start) {
                let found = format!("datasets that depend on themselves: {shown}");
                let expected = "models without a cycle".to_owned();
                diagnostics.push(mention.at.diagnostic(found, expected, None));
            }
        }
    }
    diagnostics
}

/// The shortest cycle of reads through a dataset, with the dataset at both ends.
fn cycle_through<'d>(
    start: &'d DatasetName,
    reads: &BTreeMap<&'d DatasetName, &'d [DatasetName]>,
) -> Option<Vec<&'d DatasetName>> {
    let mut predecessors: BTreeMap<&DatasetName, &DatasetName> = BTreeMap::new();
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(reader) = queue.pop_front() {
        for read in reads.get(reader).copied().unwrap_or_default() {
            if read == start {
                let back = std::iter::successors(Some(reader), |name| predecessors.get(name).copied());
                let mut cycle: Vec<&DatasetName> = back.collect();
                cycle.reverse();
                cycle.push(start);
                return Some(cycle);
            }
            if !predecessors.contains_key(read) {
                predecessors.insert(read, reader);
                queue.push_back(read);
            }
        }
    }
    None
}

//! Who may import whom (ARCHITECTURE.md): the dependencies `cargo metadata` tells of, held against a table; and files of one crate.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Every package of the workspace, the packages of the workspace it may import, and who of the frames' engine and of the tables'.
/// A package that is not here has no place in the house yet.
const MAY: [(&str, &[&str]); 12] = [
    ("tidemark-pipeline", &[]),
    ("tidemark-transform", &["tidemark-pipeline", "polars"]),
    // `reqwest` only for one build
    (
        "tidemark-lake",
        &["tidemark-pipeline", "polars", "delta_kernel", "delta_kernel_default_engine", "object_store", "reqwest"],
    ),
    ("tidemark-flow", &["tidemark-transform", "tidemark-lake", "tidemark-pipeline"]),
    ("tidemark-postgres", &["tidemark-pipeline", "tokio-postgres"]),
    (
        "ingest",
        &[
            "tidemark-aws",
            "tidemark-flow",
            "tidemark-transform",
            "tidemark-lake",
            "tidemark-pipeline",
            "polars",
            "object_store",
            "reqwest",
        ],
    ),
    (
        "transform",
        &["tidemark-aws", "tidemark-flow", "tidemark-transform", "tidemark-lake", "tidemark-pipeline", "polars"],
    ),
    (
        "load",
        &[
            "tidemark-aws",
            "tidemark-flow",
            "tidemark-postgres",
            "tidemark-transform",
            "tidemark-lake",
            "tidemark-pipeline",
            "polars",
            "object_store",
        ],
    ),
    ("watch", &["tidemark-aws", "tidemark-flow", "tidemark-lake", "tidemark-pipeline", "reqwest"]),
    ("tidemark-aws", &["tidemark-flow", "tidemark-lake", "tidemark-pipeline", "object_store"]),
    (
        "tidemark",
        &[
            "tidemark-aws",
            "ingest",
            "transform",
            "load",
            "watch",
            "tidemark-flow",
            "tidemark-transform",
            "tidemark-lake",
            "tidemark-pipeline",
            "polars",
            "object_store",
        ],
    ),
    ("tidemark-tests", &["*"]),
];

/// Foreign packages that stop at a crate: only those who name them in the table have them.
const HELD: [&str; 6] =
    ["polars", "delta_kernel", "delta_kernel_default_engine", "object_store", "reqwest", "tokio-postgres"];

/// What a pure crate must not reach, by itself or through others: neither store nor tables. (polars' own error type names
/// `object_store`, so of `tidemark-transform` only the table above can say that it does not use it.)
const PURE: [(&str, &[&str]); 3] = [
    ("tidemark-pipeline", &["polars", "object_store", "tokio", "delta_kernel", "reqwest"]),
    ("tidemark-transform", &["delta_kernel", "tidemark-lake", "tidemark-flow"]),
    ("tidemark-postgres", &["polars", "object_store", "delta_kernel", "tidemark-lake", "tidemark-flow"]),
];

/// Without the packages of other systems, which nobody has downloaded.
const HOST: &str = if cfg!(target_arch = "aarch64") { "aarch64-unknown-linux-gnu" } else { "x86_64-unknown-linux-gnu" };

fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", HOST])
        .current_dir(crate::support::project::root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Name and direct dependencies (for building, not for testing) of every package of the tree, by id.
struct Tree {
    names: BTreeMap<String, String>,
    edges: BTreeMap<String, BTreeSet<String>>,
    members: BTreeSet<String>,
}

impl Tree {
    fn read() -> Tree {
        let metadata = metadata();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let packages = metadata["packages"].as_array().unwrap();
        let names = packages.iter().map(|package| (text(&package["id"]), text(&package["name"]))).collect();
        let mut edges = BTreeMap::new();
        for node in metadata["resolve"]["nodes"].as_array().unwrap() {
            let is_built = |dep: &&Value| dep["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"] != "dev");
            let deps = node["deps"].as_array().unwrap().iter().filter(is_built).map(|dep| text(&dep["pkg"])).collect();
            edges.insert(text(&node["id"]), deps);
        }
        let members = metadata["workspace_members"].as_array().unwrap().iter().map(text).collect();
        Tree { names, edges, members }
    }

    fn member(&self, name: &str) -> &str {
        let found = self.members.iter().find(|id| self.names[*id] == name);
        found.unwrap_or_else(|| panic!("no package {name} in the workspace: take it out of the table"))
    }

    /// Everything a package is built with, itself included.
    fn reach(&self, id: &str) -> BTreeSet<&str> {
        let (mut reached, mut ahead) = (BTreeSet::new(), vec![id]);
        while let Some(id) = ahead.pop() {
            let (id, _) = self.names.get_key_value(id).unwrap();
            if reached.insert(id.as_str()) {
                ahead.extend(self.edges[id].iter().map(String::as_str));
            }
        }
        reached.into_iter().map(|id| self.names[id].as_str()).collect()
    }
}

#[test]
fn imports_go_one_way() {
    let tree = Tree::read();
    let ours: BTreeSet<&str> = tree.members.iter().map(|id| tree.names[id].as_str()).collect();
    let known: BTreeSet<&str> = MAY.iter().map(|(name, _)| *name).collect();
    assert_eq!(ours, known, "the packages of the workspace are not those of the table");
    let mut offences = Vec::new();
    for (name, may) in MAY.iter().filter(|(_, may)| *may != ["*"]) {
        for dependency in &tree.edges[tree.member(name)] {
            let dependency = tree.names[dependency].as_str();
            if (ours.contains(dependency) || HELD.contains(&dependency)) && !may.contains(&dependency) {
                offences.push(format!("{name} → {dependency}"));
            }
        }
    }
    assert!(offences.is_empty(), "not allowed: {}", offences.join(", "));
}

#[test]
fn pure_crates_reach_no_store() {
    let tree = Tree::read();
    for (name, never) in PURE {
        let reached = tree.reach(tree.member(name));
        let offences: Vec<_> = never.iter().filter(|foreign| reached.contains(**foreign)).collect();
        assert!(offences.is_empty(), "{name} reaches {offences:?}");
    }
}

/// Lines of `cargo tree` of a package or more, without its drawing.
fn tree(arguments: &[&str]) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["tree", "--prefix", "none", "--locked", "--target", HOST])
        .args(arguments)
        .current_dir(crate::support::project::root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let plain = |line: &str| line.replace(" (*)", "").replace(" (proc-macro)", "").trim_end().to_owned();
    String::from_utf8(output.stdout).unwrap().lines().map(plain).collect()
}

/// AWS comes with feature `s3` of the command, and with nothing else: not with the libraries of the functions.
#[test]
fn nothing_names_aws() {
    for package in ["tidemark", "ingest", "transform", "load", "watch"] {
        let lines = tree(&["-p", package, "--no-default-features", "-e", "normal", "--format", "{p}"]);
        let names: BTreeSet<&str> = lines.iter().filter_map(|line| line.split(' ').next()).collect();
        assert!(names.contains("tidemark-lake"), "{names:?}");
        let is_aws = |name: &&&str| {
            name.starts_with("aws-")
                || name.starts_with("lambda")
                || name.starts_with("rusoto")
                || **name == "tidemark-aws"
        };
        let offences: Vec<_> = names.iter().filter(is_aws).collect();
        assert!(offences.is_empty(), "{package} is built with {offences:?}");
    }
}

/// What the command, the functions and the tests share has the same features for each of them, so it is built once.
#[test]
fn one_build_serves_all() {
    let features = ["--format", "{p} [{f}]"];
    let all = tree(&[&["--workspace", "-e", "normal,build,dev"][..], &features].concat());
    let of = |line: &str| line.rsplit_once(" [").map(|(package, _)| package.to_owned());
    let known: BTreeSet<String> = all.iter().filter_map(|line| of(line)).collect();
    for package in ["tidemark", "ingest", "transform", "load", "watch"] {
        for line in tree(&[&["-p", package, "-e", "normal,build"][..], &features].concat()) {
            let ours = line.contains("(/");
            let is_other = of(&line).is_some_and(|package| known.contains(&package)) && !all.contains(&line);
            assert!(
                ours || !is_other,
                "{package} has {line}, and others have it with other features: see the workspace"
            );
        }
    }
}

#[test]
fn one_store_and_one_arrow() {
    let tree = Tree::read();
    for foreign in ["object_store", "polars", "delta_kernel"] {
        let copies = tree.names.values().filter(|name| *name == foreign).count();
        assert_eq!(copies, 1, "{copies} copies of {foreign} in the tree");
    }
}

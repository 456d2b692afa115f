//! The documents: an output they show is what the command prints, what can be named is explained, links lead somewhere, and no page
//! grows without bound. How a page says what a test is to run: tests/README.md.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use tidemark_flow::settings;

use crate::support::documents::markdown::Page;
use crate::support::documents::session::Session;
use crate::support::project::{Site, root};

/// Every document of the repository.
const PAGES: [&str; 9] = [
    "README.md",
    "ARCHITECTURE.md",
    "infra/README.md",
    "infra/pipelines/README.md",
    "functions/ingest/README.md",
    "functions/load/README.md",
    "functions/watch/README.md",
    "functions/local/README.md",
    "tests/README.md",
];

/// Bytes.
const LIMITS: [(&str, usize); 2] = [("README.md", 12_288), ("ARCHITECTURE.md", 16_384)];
const PICTURE: usize = 80_000;

fn page(name: &str) -> Page {
    Page::read(&root().join(name))
}

#[test]
fn every_page_is_listed_here_and_in_the_readme() {
    let output = std::process::Command::new("git").args(["ls-files", "*.md"]).current_dir(root()).output();
    // a copy of the source without its history has no list of files
    if let Some(output) = output.ok().filter(|output| output.status.success()) {
        let listed: BTreeSet<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
        let listed: BTreeSet<&str> = listed.iter().map(String::as_str).collect();
        assert!(listed.is_subset(&PAGES.into()), "not in PAGES: {:?}", listed.difference(&PAGES.into()));
    }
    let links: Vec<String> = page("README.md").links();
    for name in &PAGES[1..] {
        assert!(links.iter().any(|link| link == name), "README.md has no link to {name}");
    }
}

#[test]
fn no_page_outgrows_its_reader() {
    for (name, limit) in LIMITS {
        let size = std::fs::metadata(root().join(name)).unwrap().len();
        assert!(size <= limit as u64, "{name} has {size} bytes, and may have {limit}");
    }
    let picture = std::fs::read(root().join("infra/report.png")).unwrap();
    assert!(picture.starts_with(b"\x89PNG") && picture.len() <= PICTURE);
}

#[test]
fn every_link_leads_somewhere() {
    let mut broken = Vec::new();
    for name in PAGES {
        for link in page(name).links() {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() { PathBuf::from(name) } else { beside(name, path) };
            let is_there = root().join(&target).exists();
            let has_anchor = || Page::read(&root().join(&target)).anchors().iter().any(|known| known == anchor);
            if !is_there || !anchor.is_empty() && !has_anchor() {
                broken.push(format!("{name}: {link}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// The path of a link as the workspace has it.
fn beside(page: &str, link: &str) -> PathBuf {
    let mut path = PathBuf::from(page);
    path.pop();
    for part in Path::new(link).components() {
        match part {
            Component::ParentDir => assert!(path.pop(), "{page}: {link}"),
            Component::CurDir => {}
            other => path.push(other),
        }
    }
    path
}

/// Files and folders of the workspace that a page names in its text.
#[test]
fn every_file_that_is_named_is_there() {
    let roots = ["functions/", "shared/", "tests/", "infra/", "events/", ".ci/"];
    let mut gone = Vec::new();
    for name in PAGES {
        for code in page(name).code() {
            let is_path = roots.iter().any(|root| code.starts_with(root));
            if is_path && !code.contains(['*', '{', '<', ' ']) && !root().join(code.trim_end_matches('/')).exists() {
                gone.push(format!("{name}: {code}"));
            }
        }
    }
    assert!(gone.is_empty(), "{gone:#?}");
}

/// The names in backticks after `expected` of every message about the field `zzz`.
fn fields_of(files: &[(String, String)]) -> Vec<(String, Vec<String>)> {
    let site = Site::new();
    for (name, text) in files {
        site.write(&format!("infra/pipelines/{name}.toml"), text);
    }
    let said = site.call(&["check"]).expect(2).err;
    let mut sections = Vec::new();
    for line in said.lines() {
        let Some((_, about)) = line.split_once("unknown field `zzz` in ") else { continue };
        let (section, fields) = about.split_once("; expected ").unwrap();
        let fields = fields.split('`').skip(1).step_by(2).filter(|field| *field != "zzz").map(str::to_owned);
        sections.push((section.to_owned(), fields.collect()));
    }
    sections
}

#[test]
fn every_field_of_a_pipeline_file_is_explained() {
    const FILES: &str = r#"zzz = 1
schedule = { cron = "0 8 * * ? *", zzz = 1 }
parameters.X = { default = "a", zzz = 1 }
[source]
kind = "files"
path = "x"
zzz = 1
csv = { zzz = 1 }
[contract]
key = "id"
partition_by = { column = "id", zzz = 1 }
zzz = 1
[contract.columns]
id = { type = "int64", zzz = 1 }
lines = "string"
[contract.explode.x]
column = "lines"
columns = { a = "string" }
zzz = 1
[[model]]
name = "m"
sql = "SELECT id AS month FROM a"
partition_by = { column = "month", every = "month", zzz = 1 }
incremental = { zzz = 1 }
zzz = 1
[[target]]
kind = "sqlite"
zzz = 1
[[target]]
kind = "postgres"
zzz = 1
[[target]]
kind = "report"
zzz = 1
[[target.sheet]]
charts = [{ zzz = 1 }]
zzz = 1
[alerts]
slack = { zzz = 1 }
email = { zzz = 1 }
quiet = { zzz = 1 }
zzz = 1
"#;
    const API: &str = "[source]\nkind = \"http\"\nurl = \"https://api.example.com\"\n";
    const FIELDS: &str = "zzz = 1\npagination = { zzz = 1 }\nincremental = { zzz = 1 }\nlimits = { zzz = 1 }\n";
    let mut files = vec![("a".to_owned(), FILES.to_owned()), ("b".to_owned(), format!("{API}{FIELDS}"))];
    for way in ["bearer", "basic", "api_key", "oauth2"] {
        files.push((way.to_owned(), format!("{API}auth = {{ {way} = {{ zzz = 1 }} }}\n")));
    }
    let sections = fields_of(&files);
    assert!(sections.len() >= 28, "{sections:?}");
    let known = page("infra/pipelines/README.md").code();
    let is_known = |field: &String| known.iter().any(|code| code == field);
    for (section, fields) in sections {
        let missing: Vec<&String> = fields.iter().filter(|field| !is_known(field)).collect();
        assert!(missing.is_empty(), "infra/pipelines/README.md does not explain {missing:?} of {section}");
    }
}

#[test]
fn every_verb_and_every_variable_is_explained() {
    let page = page("functions/local/README.md");
    let help = Site::new().call(&["--help"]).expect(0).out;
    let verbs = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let mut count = 0;
    // a line that goes on is indented further
    let verbs = verbs.filter_map(|line| line.strip_prefix("  ").filter(|rest| rest.starts_with(char::is_alphabetic)));
    for verb in verbs.filter_map(|line| line.split_whitespace().next()).filter(|verb| *verb != "help") {
        assert!(page.text.contains(&format!("`tidemark {verb}")), "no word about {verb}");
        count += 1;
    }
    assert!(count > 10, "{help}");
    for name in settings::LOCAL.iter().chain(&settings::DEPLOYED) {
        assert!(page.text.contains(name), "no word about {name}");
    }
}

#[test]
fn every_parameter_of_the_deployment_is_explained() {
    let template = std::fs::read_to_string(root().join("infra/template.yaml")).unwrap();
    let parameters = template.lines().skip_while(|line| *line != "Parameters:").skip(1);
    let parameters = parameters.take_while(|line| line.is_empty() || line.starts_with(' '));
    let known = page("infra/README.md").code();
    let mut count = 0;
    for line in parameters {
        let Some(name) = line.strip_prefix("  ").filter(|line| line.starts_with(char::is_alphabetic)) else { continue };
        let name = name.split(':').next().unwrap();
        assert!(known.iter().any(|code| code == name), "infra/README.md does not explain {name}");
        count += 1;
    }
    assert!(count > 15, "{count}");
}

macro_rules! shown {
    ($($test:ident: $page:literal),+ $(,)?) => {
        $(#[test]
        fn $test() {
            Session::hold(&page($page));
        })+

        #[test]
        fn every_page_is_held_to_its_outputs() {
            assert_eq!(BTreeSet::from([$($page),+]), PAGES.into());
        }
    };
}

shown! {
    the_readme_shows_what_is_printed: "README.md",
    the_architecture_shows_what_is: "ARCHITECTURE.md",
    deploying_shows_what_is_printed: "infra/README.md",
    the_pipeline_file_shows_what_is_printed: "infra/pipelines/README.md",
    sources_show_what_is_printed: "functions/ingest/README.md",
    targets_show_what_is_printed: "functions/load/README.md",
    alerts_show_what_is_printed: "functions/watch/README.md",
    the_command_shows_what_it_prints: "functions/local/README.md",
    the_tests_show_what_is_printed: "tests/README.md",
}

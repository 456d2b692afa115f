//! Inside a crate, files depend on each other in one direction: no circle, however long. Parent and child count as any two files do.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;

use crate::support::rust_source::dependencies::{Dependencies, dependencies};

#[test]
fn files_form_no_circle() {
    let root = crate::support::project::root();
    let mut found = String::new();
    let mut crates = 0;
    for folder in ["shared", "functions"] {
        let members = std::fs::read_dir(root.join(folder)).unwrap().map(|member| member.unwrap().path());
        for member in members.collect::<BTreeSet<_>>() {
            let source = member.join("src");
            let read = |file: &str| std::fs::read_to_string(source.join(file)).ok();
            for entry in ["lib.rs", "main.rs"].into_iter().filter(|entry| read(entry).is_some()) {
                crates += 1;
                for circle in circles(&dependencies(entry, &read)) {
                    let shown = source.strip_prefix(root).unwrap().display();
                    write!(found, "\n{shown}/{entry}: {circle}").unwrap();
                }
            }
        }
    }
    assert!(crates > 10, "only {crates} crates were read");
    assert!(found.is_empty(), "files that depend on each other:{found}");
}

/// Of all files that reach each other, the shortest circle, with the paths that make it.
fn circles(all: &Dependencies) -> Vec<String> {
    let mut told = BTreeSet::new();
    let mut circles = Vec::new();
    let mut shortest: Vec<_> = all.keys().filter_map(|file| way_back(all, file)).collect();
    shortest.sort_by_key(Vec::len);
    for way in shortest {
        if told.contains(way[0]) {
            continue;
        }
        let together: BTreeSet<&str> =
            reached(all, way[0]).into_iter().filter(|file| reached(all, file).contains(way[0])).collect();
        let mut text = format!("{} files form circles, such as", together.len());
        for (file, to) in way.iter().zip(way.iter().cycle().skip(1)) {
            let paths: Vec<&str> = all[*file][*to].iter().map(String::as_str).collect();
            write!(text, "\n    {file} → {to}: {}", paths.join(", ")).unwrap();
        }
        circles.push(text);
        told.extend(together);
    }
    circles
}

/// Files that a file depends on, and those that they depend on.
fn reached<'d>(all: &'d Dependencies, file: &str) -> BTreeSet<&'d str> {
    let (mut reached, mut ahead) = (BTreeSet::new(), vec![file]);
    while let Some(file) = ahead.pop() {
        for to in all[file].keys() {
            if reached.insert(to.as_str()) {
                ahead.push(to);
            }
        }
    }
    reached
}

/// The files on the shortest way from a file back to it; `None` if there is none.
fn way_back<'d>(all: &'d Dependencies, file: &'d str) -> Option<Vec<&'d str>> {
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut ahead = VecDeque::from([file]);
    while let Some(at) = ahead.pop_front() {
        for to in all[at].keys().map(String::as_str) {
            if to == file {
                let back = std::iter::successors(Some(at), |at| came_from.get(at).copied());
                let mut way: Vec<&str> = back.collect();
                way.reverse();
                return Some(way);
            }
            if !came_from.contains_key(to) {
                came_from.insert(to, at);
                ahead.push_back(to);
            }
        }
    }
    None
}

/// The circles of a made-up crate.
fn circles_of(files: &[(&str, &str)]) -> Vec<String> {
    let read = |file: &str| files.iter().find(|(name, _)| *name == file).map(|(_, text)| (*text).to_owned());
    circles(&dependencies("lib.rs", &read))
}

/// A crate of modules `a`, `b` and `c`, with the child `b::d`.
fn four(a: &str, b: &str, c: &str, d: &str) -> Vec<String> {
    circles_of(&[
        ("lib.rs", "mod a; mod b; mod c; pub use a::A; pub use b::{B, d::D};"),
        ("a.rs", a),
        ("b.rs", &format!("pub mod d; {b}")),
        ("b/d.rs", d),
        ("c/mod.rs", c),
    ])
}

/// The one circle of a crate, by its files and their paths.
fn the_one(circles: Vec<String>, lines: &[&str]) {
    let [circle] = &circles[..] else { panic!("{circles:#?}") };
    let found: Vec<&str> = circle.lines().skip(1).map(str::trim).collect();
    assert_eq!(found, lines);
}

#[test]
fn one_direction_is_no_circle() {
    let found = four(
        "use crate::b::B; use crate::c;",
        "use crate::c::C; use d::D;",
        "fn c() {}",
        "use crate::c::{self, C}; fn d() { c::c() }",
    );
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn two_files_are_found() {
    the_one(
        four("use crate::b::B;", "fn b() -> crate::a::A { crate::a::a() }", "", ""),
        &["a.rs → b.rs: crate::b::B", "b.rs → a.rs: crate::a::A, crate::a::a"],
    );
}

#[test]
fn three_files_are_found() {
    the_one(
        four("use crate::b::B;", "use super::c::C;", "type C = super::a::A;", ""),
        &["a.rs → b.rs: crate::b::B", "b.rs → c/mod.rs: super::c::C", "c/mod.rs → a.rs: super::a::A"],
    );
}

#[test]
fn parent_and_child_are_found() {
    the_one(
        four("", "pub use self::d::D; struct B;", "", "use super::B;"),
        &["b.rs → b/d.rs: self::d::D", "b/d.rs → b.rs: super::B"],
    );
    // through what the root gives on, too
    the_one(four("use crate::B;", "", "", ""), &["a.rs → lib.rs: crate::B", "lib.rs → a.rs: a::A"]);
    the_one(
        four("", "", "", "fn d() { super::super::B::new() }"),
        &["b/d.rs → lib.rs: super::super::B::new", "lib.rs → b/d.rs: b::d::D"],
    );
}

#[test]
fn a_tree_and_another_name_hide_nothing() {
    the_one(
        four(
            "use crate::{b::{d as leaf, *}, c}; fn a() { leaf::d(c::C) }",
            "",
            "use super::a as other; use other::A as Mine;",
            "fn d() { match x { _ => crate::a::A } }",
        ),
        &["a.rs → b/d.rs: leaf::d", "b/d.rs → a.rs: crate::a::A"],
    );
    the_one(
        four(
            "use crate::c as other; fn a() { vec![..other::C::default()] }",
            "",
            "mod inner { use super::super::a::*; }",
            "",
        ),
        &["a.rs → c/mod.rs: other::C::default", "c/mod.rs → a.rs: super::super::a::*"],
    );
}

#[test]
fn what_only_looks_like_it_is_none() {
    let a = r##"use crate::b::B; // crate::b
        pub(in crate::b) struct A; "crate::c::C" "##;
    let b = "#[cfg(test)] mod tests { use crate::a::A; } #[cfg(test)] use crate::a::A; /* crate::a::A */ fn b() { ::a::a(); x.a::<B>() }";
    let found = four(a, b, "const C: &str = r#\"super::a::A\"#; /// [`crate::a::A`]\nuse crate::a;", "");
    assert!(found.is_empty(), "{found:#?}");
}

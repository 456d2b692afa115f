//! Names and phrases that sources must not use, because they are not terms of the field.

use std::path::PathBuf;

use crate::support::project::{root, walk};
use crate::support::rust_source::tokens::{Token, tokens};

/// Identifiers, whole.
const NAMES: [&str; 77] = [
    "Aside",
    "Asked",
    "Blind",
    "Came",
    "Clocked",
    "Compared",
    "Drafted",
    "Explained",
    "Failure",
    "Former",
    "Gathered",
    "Got",
    "Handled",
    "Laid",
    "Letters",
    "Machine",
    "Made",
    "Meant",
    "Misfit",
    "Misshapen",
    "Narrow",
    "Patience",
    "Pieces",
    "Ports",
    "Remedy",
    "Said",
    "Spread",
    "Stray",
    "Stretch",
    "Ticked",
    "Told",
    "Turn",
    "Verified",
    "Void",
    "Walk",
    "Walked",
    "World",
    "Wrong",
    "corridor",
    "explained",
    "failure",
    "flaps",
    "given_up",
    "goes_on",
    "has_been_looked_at",
    "is_anew",
    "is_for_good",
    "is_gone",
    "is_loose",
    "is_right",
    "is_sound",
    "is_still",
    "looked_at",
    "looked_for",
    "loosely",
    "make_void",
    "may_know",
    "meet",
    "meet_unknown",
    "most",
    "noted",
    "offence",
    "onto",
    "passed_over",
    "passes_over",
    "remedy",
    "said",
    "strictly",
    "surprise",
    "take_away",
    "unheld",
    "unread",
    "unsaid",
    "untaken",
    "walk",
    "wants_day",
    "wants_reason",
];

/// Phrases in comments, in lower case.
const PHRASES: [&str; 6] = ["hangs on", "hang on", "anew", "so many", "for so long", "is no news"];

/// The sources of what is built, with the unit tests beside them.
fn sources() -> Vec<PathBuf> {
    let folders = ["shared", "functions"].map(|folder| walk(&root().join(folder)));
    let sources = folders.into_iter().flatten().filter(|path| path.extension().is_some_and(|end| end == "rs"));
    sources.collect()
}

/// Where a source uses what is gone, and constructors that are called `of`.
fn found(source: &str) -> Vec<String> {
    let tokens = tokens(source);
    let names = tokens.iter().filter_map(|token| match token {
        Token::Word(name) if NAMES.contains(name) => Some(format!("name `{name}`")),
        _ => None,
    });
    let functions = tokens.windows(2).filter_map(|pair| match pair {
        [Token::Word("fn"), Token::Word(name)] if *name == "of" || name.starts_with("of_") => {
            Some(format!("`fn {name}`: a constructor is `new`, `from_…` or `for_…`"))
        }
        _ => None,
    });
    let comments = source.lines().zip(1..).filter_map(|(line, number)| {
        let comment = line.trim_start().strip_prefix("//")?.to_lowercase();
        let phrase = PHRASES.iter().find(|phrase| comment.contains(**phrase))?;
        Some(format!("line {number}: \"{phrase}\""))
    });
    names.chain(functions).chain(comments).collect()
}

#[test]
fn words_that_are_gone_stay_gone() {
    let mut all = Vec::new();
    for path in sources() {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        all.extend(found(&std::fs::read_to_string(&path).unwrap()).iter().map(|what| format!("{name}: {what}")));
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn what_is_gone_is_found() {
    let source = "/// It hangs on nothing.\nfn of(cause: Failure) -> Option<u8> { looked_for(\"Walk\") }\n// Walk\nfn often() {}\n";
    let expected = [
        "name `Failure`",
        "name `looked_for`",
        "`fn of`: a constructor is `new`, `from_…` or `for_…`",
        "line 1: \"hangs on\"",
    ];
    assert_eq!(found(source), expected);
}

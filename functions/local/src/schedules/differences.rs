//! Compares a file to its expected content, resource by resource, so that each different line is reported with its resource.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

/// A line that only one of the two files has.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Difference {
    /// The resource or parameter it belongs to. None at the top of the file.
    pub of: Option<String>,
    /// Line number, from 1, in the file that has it.
    pub line: usize,
    /// Whether the line is to be removed; otherwise it is to be added.
    pub goes: bool,
    pub text: String,
}

/// `DailySalesSchedule:84: - ScheduleExpression: …`
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = self.of.as_deref().unwrap_or("top");
        write!(f, "{of}:{}: {} {}", self.line, if self.goes { '-' } else { '+' }, self.text.trim_end())
    }
}

/// The lines of `found` to remove, and those of `wanted` to add. Empty if the two are equal apart from empty lines at the end.
pub(super) fn differences(found: &str, wanted: &str) -> Vec<Difference> {
    let (found, wanted) = (found.trim_end(), wanted.trim_end());
    if found == wanted {
        return Vec::new();
    }
    let (found, wanted) = (sections(found), sections(wanted));
    let known: BTreeSet<Option<&str>> = wanted.iter().map(|section| section.name).collect();
    let mut all = Vec::new();
    for section in found.iter().filter(|section| !known.contains(&section.name)) {
        all.extend(section.all(true));
    }
    for section in &wanted {
        let same: Vec<&Section<'_>> = found.iter().filter(|other| other.name == section.name).collect();
        match same.split_first() {
            None => all.extend(section.all(false)),
            Some((first, more)) => {
                all.extend(first.against(section));
                all.extend(more.iter().flat_map(|section| section.all(true)));
            }
        }
    }
    if all.is_empty() {
        // the same resources in another order
        let out_of_place = found.iter().zip(&wanted).filter(|(found, wanted)| found.name != wanted.name);
        all.extend(out_of_place.flat_map(|(found, wanted)| [found.line(0, true), wanted.line(0, false)]).flatten());
    }
    if all.iter().any(|line| !line.text.trim().is_empty()) {
        all.retain(|line| !line.text.trim().is_empty());
    }
    all
}

/// The lines of one resource or parameter. Without a name: the lines before the first.
struct Section<'t> {
    name: Option<&'t str>,
    /// The number of its first line, from 1.
    from: usize,
    lines: Vec<&'t str>,
}

fn sections(text: &str) -> Vec<Section<'_>> {
    let mut sections = vec![Section { name: None, from: 1, lines: Vec::new() }];
    for (nth, line) in text.split('\n').enumerate() {
        let name = line.strip_prefix("  ").and_then(|line| line.strip_suffix(':'));
        let name = name.filter(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric()));
        if name.is_some() {
            sections.push(Section { name, from: nth + 1, lines: Vec::new() });
        }
        if let Some(section) = sections.last_mut() {
            section.lines.push(line);
        }
    }
    sections
}

impl Section<'_> {
    fn line(&self, at: usize, goes: bool) -> Option<Difference> {
        let text = (*self.lines.get(at)?).to_owned();
        Some(Difference { of: self.name.map(str::to_owned), line: self.from + at, goes, text })
    }

    fn all(&self, goes: bool) -> impl Iterator<Item = Difference> {
        (0..self.lines.len()).filter_map(move |at| self.line(at, goes))
    }

    /// Compares to the expected section: returns the lines between the common start and end, without those that both contain.
    fn against(&self, wanted: &Section<'_>) -> Vec<Difference> {
        let (found, wanted_lines) = (&self.lines, &wanted.lines);
        let max = found.len().min(wanted_lines.len());
        let head = (0..max).take_while(|&at| found[at] == wanted_lines[at]).count();
        let from_end = |at: usize| found[found.len() - 1 - at] == wanted_lines[wanted_lines.len() - 1 - at];
        let tail = (0..max - head).take_while(|&at| from_end(at)).count();
        let (ours, theirs) = (head..found.len() - tail, head..wanted_lines.len() - tail);
        let only = |section: &Section<'_>, at: usize, others: &[&str], goes: bool| {
            if others.contains(&section.lines[at]) { None } else { section.line(at, goes) }
        };
        let removed = ours.clone().filter_map(|at| only(self, at, &wanted_lines[theirs.clone()], true));
        let added = theirs.clone().filter_map(|at| only(wanted, at, &found[ours.clone()], false));
        let all: Vec<Difference> = removed.chain(added).collect();
        if all.is_empty() && !(ours.is_empty() && theirs.is_empty()) {
            // the same lines in another order
            let removed = ours.filter_map(|at| self.line(at, true));
            return removed.chain(theirs.filter_map(|at| wanted.line(at, false))).collect();
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: &str = "# made\nResources:\n  A:\n    x: 1\n    y: 2\n    z: 3\n  B:\n    x: 1\n";

    fn shown(found: &str) -> Vec<String> {
        differences(found, WANTED).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn differences_are_reported_by_resource() {
        assert_eq!(shown(WANTED), [""; 0]);
        assert_eq!(shown(&WANTED.replace("y: 2", "y: 3")), ["A:5: -     y: 3", "A:5: +     y: 2"]);
        let two = WANTED.replacen("x: 1", "x: 0", 1).replace("z: 3", "z: 4");
        assert_eq!(shown(&two), ["A:4: -     x: 0", "A:6: -     z: 4", "A:4: +     x: 1", "A:6: +     z: 3"]);
        assert_eq!(shown(&WANTED.replace("made", "mine")), ["top:1: - # mine", "top:1: + # made"]);
        assert_eq!(shown(&WANTED.replace("  B:\n    x: 1\n", "")), ["B:7: +   B:", "B:8: +     x: 1"]);
        assert_eq!(shown(&format!("{WANTED}  C:\n    x: 1\n")), ["C:9: -   C:", "C:10: -     x: 1"]);
        assert_eq!(shown("").len(), 8);
        assert_eq!(differences(WANTED, "").len(), 8);
    }

    /// Lines removed, repeated and swapped, at every line.
    #[test]
    fn every_difference_is_reported() {
        let lines: Vec<&str> = WANTED.split_inclusive('\n').collect();
        let without = |at: usize| lines.iter().enumerate().filter(|(n, _)| *n != at).map(|(_, line)| *line).collect();
        let twice = |at: usize| lines[..=at].iter().chain(&lines[at..]).copied().collect();
        let swapped = |at: usize| {
            let mut lines = lines.clone();
            let next = (at + 1) % lines.len();
            lines.swap(at, next);
            lines.concat()
        };
        for at in 0..lines.len() {
            let changed: [String; 3] = [without(at), twice(at), swapped(at)];
            for text in changed {
                assert!(!shown(&text).is_empty(), "{text}");
            }
        }
        let other_order = "# made\nResources:\n  B:\n    x: 1\n  A:\n    x: 1\n    y: 2\n    z: 3\n";
        assert_eq!(shown(other_order), ["B:3: -   B:", "A:3: +   A:", "A:5: -   A:", "B:7: +   B:"]);
        assert!(shown(WANTED.trim_end()).is_empty() && shown(&format!("{WANTED}\n")).is_empty());
    }
}

//! Whether two outputs are the same but for what differs from run to run: times of day, durations, sizes, prices and ids.

/// A line that stands for any number of lines; within a line, for any text.
const ANYTHING: &str = "…";

/// The lines without what differs.
fn normal(text: &str) -> Vec<String> {
    let lines = text.trim_matches('\n').lines();
    lines.map(normal_line).collect()
}

pub fn normal_line(line: &str) -> String {
    let line = line.replace("less than a minute", "1 min").replace("on time", "1 min behind");
    let mut words: Vec<String> = Vec::new();
    for token in line.split_whitespace() {
        let word = token.trim_end_matches([',', ';', ':', ')']);
        let after = &token[word.len()..];
        let is_number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
        let is_hex = word.len() >= 8 && word.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let follows_number = words.last().is_some_and(|last| is_number(last));
        let follows_date = words.last().is_some_and(|last| is_date(last));
        let replaced = match word {
            "B" | "kB" | "MB" | "GB" if follows_number => Some("SIZE"),
            "ms" | "s" | "min" | "h" | "d" if follows_number => Some("TIME"),
            _ if follows_date && is_clock(word) => Some("WHEN"),
            _ => None,
        };
        match replaced {
            Some(what) => {
                words.pop();
                match words.as_slice() {
                    // 1 h 59 min is one time
                    [.., last] if what == "TIME" && last == "TIME" => {}
                    // from one minute to the next
                    [.., first, to] if what == "WHEN" && first == "WHEN" && to == "to" => {
                        words.pop();
                    }
                    _ => words.push(format!("{what}{after}")),
                }
            }
            None if word.starts_with('$') && is_number(&word[1..]) => words.push(format!("COST{after}")),
            None if word.contains("runs/") || is_run_id(word) => words.push(format!("RUN{after}")),
            None if is_hex => words.push(format!("ID{after}")),
            None if word.len() > 16 && word.get(..10).is_some_and(is_date) && word.ends_with('Z') => {
                words.push(format!("WHEN{after}"));
            }
            None => words.push(token.to_owned()),
        }
    }
    words.join(" ")
}

fn is_date(word: &str) -> bool {
    let bytes = word.as_bytes();
    bytes.len() == 10
        && bytes.iter().enumerate().all(|(n, b)| if n == 4 || n == 7 { *b == b'-' } else { b.is_ascii_digit() })
}

/// `20260303T080000123-1f2e3d4c`
fn is_run_id(word: &str) -> bool {
    word.len() == 27 && word.get(8..9) == Some("T") && word.get(18..19) == Some("-")
}

fn is_clock(word: &str) -> bool {
    matches!(word.len(), 5 | 8) && word.bytes().all(|b| b.is_ascii_digit() || b == b':') && word.contains(':')
}

/// The first line in which they differ.
pub fn difference(shown: &str, printed: &str) -> Option<String> {
    let (shown, printed) = (normal(shown), normal(printed));
    if is_alike(&shown, &printed) {
        return None;
    }
    let differs = shown.iter().zip(&printed).position(|(shown, printed)| !line_is_alike(shown, printed));
    let nth = differs.unwrap_or(shown.len().min(printed.len()));
    let line = |lines: &[String]| lines.get(nth).cloned().unwrap_or_else(|| "nothing".to_owned());
    Some(format!("line {} shows\n  {}\nprinted is\n  {}", nth + 1, line(&shown), line(&printed)))
}

fn is_alike(shown: &[String], printed: &[String]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((first, rest)) if first == ANYTHING => (0..=printed.len()).any(|from| is_alike(rest, &printed[from..])),
        Some((first, rest)) => {
            printed.split_first().is_some_and(|(line, others)| line_is_alike(first, line) && is_alike(rest, others))
        }
    }
}

fn line_is_alike(shown: &str, printed: &str) -> bool {
    let mut parts = shown.split(ANYTHING);
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = printed.strip_prefix(first) else { return false };
    let mut last = None;
    for part in parts {
        last = Some(part);
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.is_empty() || last.is_some_and(|last| last.is_empty() || printed.ends_with(last))
}

#[test]
fn what_differs_from_run_to_run_is_the_same() {
    let same = |shown: &str, printed: &str| assert_eq!(difference(shown, printed), None);
    same("✓ a  clean   3 rows  1.2 kB → 875 B  0.06 s  $0.00004", "✓ a  clean  3 rows  1 B → 8 MB  1 min 2 s  $0.1\n");
    same("at 2026-12-01 01:20 UTC, in less than a minute", "at 2027-01-01 23:59 UTC, in 1 min");
    same("a\n…\nb", "a\n1\n2\nb");
    same("a …: b", "a c: d: b");
    same("b60943dc  2", "00aa00aa  2");
    same("2026-12-01 01:41  x", "2026-12-01 01:41 to 2026-12-01 01:42  x");
    for (shown, printed) in [("3 rows", "4 rows"), ("a\nb", "a"), ("2026-03-02", "2026-03-03"), ("a …: b", "a c: d")]
    {
        assert!(difference(shown, printed).is_some(), "{shown} {printed}");
    }
}

//! Rust source as words and marks: without comments, literals and lifetimes, and without what is built for tests only.

/// What is left of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token<'s> {
    /// A name or a keyword, without `r#`.
    Word(&'s str),
    /// `::`
    Separator,
    Mark(char),
    /// A text, a character or a number.
    Literal,
}

/// The tokens of a source, but for those of items under `#[cfg(test)]`.
pub fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut rest = source;
    let mut all = Vec::new();
    while let Some((token, after)) = next(rest) {
        all.extend(token);
        rest = after;
    }
    without_tests(&all)
}

/// The token a source begins with, `None` for what is left out, and the source after it.
fn next(source: &str) -> Option<(Option<Token<'_>>, &str)> {
    let first = source.chars().next()?;
    let after = &source[first.len_utf8()..];
    Some(match first {
        '/' if after.starts_with('/') => (None, source.find('\n').map_or("", |end| &source[end..])),
        '/' if after.starts_with('*') => (None, after_comment(source)),
        '"' => (Some(Token::Literal), after_text(after)),
        '\'' => after_quote(after),
        ':' if after.starts_with(':') => (Some(Token::Separator), &after[1..]),
        '0'..='9' => (Some(Token::Literal), &source[word(source)..]),
        first if first.is_whitespace() => (None, after),
        first if is_of_word(first) => after_word(source),
        first => (Some(Token::Mark(first)), after),
    })
}

fn is_of_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Length of the letters, digits and `_` a source begins with.
fn word(source: &str) -> usize {
    source.find(|letter| !is_of_word(letter)).unwrap_or(source.len())
}

/// A word, unless it is what comes before a text (`b"…"`, `r#"…"#`) or a raw name (`r#type`).
fn after_word(source: &str) -> (Option<Token<'_>>, &str) {
    let (word_of, after) = source.split_at(word(source));
    let fence = after.len() - after.trim_start_matches('#').len();
    let is_text = after[fence..].starts_with('"');
    match word_of {
        "r" | "br" | "cr" if is_text => {
            let end = format!("\"{}", "#".repeat(fence));
            let text = &after[fence + 1..];
            (Some(Token::Literal), text.find(&end).map_or("", |at| &text[at + end.len()..]))
        }
        "b" | "c" if after.starts_with('"') => (Some(Token::Literal), after_text(&after[1..])),
        "b" if after.starts_with('\'') => after_quote(&after[1..]),
        "r" if fence == 1 => after_word(&after[1..]),
        _ => (Some(Token::Word(word_of)), after),
    }
}

/// What comes after a comment, in which others may lie.
fn after_comment(source: &str) -> &str {
    let (mut depth, mut at) = (0, 0);
    while at < source.len() {
        match &source.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return &source[at..];
        }
    }
    ""
}

/// What comes after a text whose opening quote has gone.
fn after_text(source: &str) -> &str {
    let mut is_escaped = false;
    for (at, letter) in source.char_indices() {
        match letter {
            '"' if !is_escaped => return &source[at + 1..],
            letter => is_escaped = letter == '\\' && !is_escaped,
        }
    }
    ""
}

/// A character, or a lifetime, whose quote has gone.
fn after_quote(source: &str) -> (Option<Token<'_>>, &str) {
    let mut letters = source.char_indices().skip(1);
    let end = match source.chars().next() {
        // the escaped letter may be a quote
        Some('\\') => letters.skip(1).find(|(_, letter)| *letter == '\'').map(|(at, _)| at),
        _ => letters.next().filter(|(_, letter)| *letter == '\'').map(|(at, _)| at),
    };
    match end {
        Some(end) => (Some(Token::Literal), &source[end + 1..]),
        None => (None, &source[word(source)..]),
    }
}

fn without_tests<'s>(all: &[Token<'s>]) -> Vec<Token<'s>> {
    let mut kept = Vec::with_capacity(all.len());
    let mut rest = all;
    while let Some((first, after)) = rest.split_first() {
        match is_for_tests(rest) {
            true => rest = after_item(rest),
            false => {
                kept.push(*first);
                rest = after;
            }
        }
    }
    kept
}

/// Whether tokens begin with `#[cfg(test)]` or `#[cfg(all(test, …))]`.
fn is_for_tests(tokens: &[Token<'_>]) -> bool {
    use Token::{Mark, Word};
    let [Mark('#'), Mark('['), Word("cfg"), Mark('('), condition @ ..] = tokens else { return false };
    matches!(condition, [Word("test"), Mark(')'), ..] | [Word("all"), Mark('('), Word("test"), ..])
}

/// What comes after an item with its attributes: it ends with a `;`, or with the braces of its body.
fn after_item<'t, 's>(mut tokens: &'t [Token<'s>]) -> &'t [Token<'s>] {
    while let [Token::Mark('#'), Token::Mark('['), ..] = tokens {
        tokens = &tokens[closing(tokens, 1) + 1..];
    }
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at] {
            Token::Mark(';') => return &tokens[at + 1..],
            Token::Mark('{') => return &tokens[closing(tokens, at) + 1..],
            Token::Mark('(' | '[') => at = closing(tokens, at) + 1,
            // of what is around it
            Token::Mark(')' | ']' | '}') => return &tokens[at..],
            _ => at += 1,
        }
    }
    &[]
}

/// Where the bracket at `open` is closed.
pub fn closing(tokens: &[Token<'_>], open: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token {
            Token::Mark('(' | '[' | '{') => depth += 1,
            Token::Mark(')' | ']' | '}') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    tokens.len() - 1
}

#[test]
fn what_is_no_code_is_left_out() {
    let words = |source| {
        let found = tokens(source).into_iter();
        found
            .filter_map(|token| if let Token::Word(word) = token { Some(word) } else { None })
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(words("a // b\nc /* d /* e */ f */ g /// h"), "a c g");
    assert_eq!(words(r##"a "b \" c" d b"e" f r#"g " h"# i"##), "a d f i");
    assert_eq!(words(r"a 'b' c '\'' d b'e' f '\u{1F600}' g '界' h"), "a c d f g h");
    assert_eq!(words("fn a<'b>(c: &'static d) { 'e: loop {} } 1u8 r#type"), "fn a c d loop type");
    assert_eq!(tokens("a::b"), [Token::Word("a"), Token::Separator, Token::Word("b")]);
}

#[test]
fn what_is_for_tests_is_left_out() {
    let count = |source| tokens(source).iter().filter(|token| **token == Token::Word("x")).count();
    assert_eq!(count("#[cfg(test)] mod x; a"), 0);
    assert_eq!(count("#[cfg(test)]\n#[allow(x)] mod tests { use x::{y, z}; fn a() { x } } b"), 0);
    assert_eq!(count("#[cfg(all(test, unix))] fn a() -> [x; 2] { x } b"), 0);
    assert_eq!(count("#[cfg(test)] use crate::{x, y}; x"), 1);
    assert_eq!(count("#[cfg(not(test))] fn x() {} #[cfg(feature = \"s3\")] mod x;"), 2);
    assert_eq!(tokens("#[cfg(test)] mod tests {} x").last(), Some(&Token::Word("x")));
}

//! Tokenizer for SQL, just enough to distinguish text from code.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    /// An identifier or keyword without quotes, or a number.
    Word,
    /// `:name`.
    Placeholder,
    /// A string, a quoted name or a comment, with its quotes.
    Closed,
    /// Anything else: white space, an operator, a point.
    Other,
}

/// The tokens of a query in order. Concatenating their texts gives the query.
pub(super) fn tokens(sql: &str) -> impl Iterator<Item = (Token, &str)> {
    let mut rest = sql;
    std::iter::from_fn(move || {
        let (token, length) = first(rest)?;
        let (text, after) = rest.split_at(length);
        rest = after;
        Some((token, text))
    })
}

fn first(sql: &str) -> Option<(Token, usize)> {
    let mut chars = sql.chars();
    let start = chars.next()?;
    let until = |end: &str, from: usize| sql[from..].find(end).map_or(sql.len(), |at| from + at + end.len());
    Some(match (start, chars.next()) {
        (quote @ ('\'' | '"' | '`'), _) => (Token::Closed, quoted(sql, quote)),
        ('-', Some('-')) => (Token::Closed, until("\n", 2)),
        ('/', Some('*')) => (Token::Closed, until("*/", 2)),
        // A cast, `value::date`.
        (':', Some(':')) => (Token::Other, 2),
        (':', Some(name)) if is_word(name) => (Token::Placeholder, 1 + word(&sql[1..])),
        (start, _) if is_word(start) => (Token::Word, word(sql)),
        (start, _) => (Token::Other, start.len_utf8()),
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn word(sql: &str) -> usize {
    sql.find(|c| !is_word(c)).unwrap_or(sql.len())
}

/// Length of a quoted text, including its quotes. A doubled quote is part of the text.
fn quoted(sql: &str, quote: char) -> usize {
    let mut from = 1;
    while let Some(at) = sql[from..].find(quote) {
        from += at + 1;
        if !sql[from..].starts_with(quote) {
            return from;
        }
        from += 1;
    }
    sql.len()
}

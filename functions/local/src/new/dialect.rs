//! Detects the format and CSV dialect of a file, by trial reads of its first bytes.

use std::fs::File;
use std::io::Cursor;
use std::path::Path;

use ingest::files::{self, Input, ReadError};
use tidemark_flow::{Error, ErrorKind};
use tidemark_pipeline::raw::ORIGIN;
use tidemark_pipeline::{Csv, Encoding, Format, Header};

/// Bytes that are examined.
const HEAD: usize = 256 << 10;

/// The detected format and dialect.
pub(super) struct Found {
    pub format: Format,
    /// Whether the file name gives the format.
    pub is_named: bool,
    pub csv: Csv,
    /// Whether the header line is read as a record, because two names are equal or one is reserved.
    pub has_header_record: bool,
}

pub(super) fn find(path: &Path, object: &str) -> Result<Found, Error> {
    let file = open(path)?;
    let mut head = files::head(Input::File(file), object, HEAD).map_err(|error| read_error(object, error))?;
    if head.len() == HEAD {
        // the last line is incomplete
        let end = head.iter().rposition(|byte| *byte == b'\n').unwrap_or(head.len());
        head.truncate(end);
    }
    let named = files::format_of(object);
    let format = named.unwrap_or_else(|| sniffed(&head));
    if format == Format::Ndjson && head.trim_ascii_start().starts_with(b"[") {
        return Err(Error::new(
            ErrorKind::Definition,
            format!("{object} is a JSON array instead of one record per line"),
        )
        .hint("convert it, for example with: jq -c '.[]'"));
    }
    let csv = if format == Format::Csv { dialect(&head) } else { Csv::default() };
    let mut found = Found { format, is_named: named.is_some(), csv, has_header_record: false };
    if format == Format::Csv && trial(&head, &found.csv).is_none() {
        let cells = cells(&head, &found.csv);
        let columns =
            super::names::column_names(cells.iter().map(String::as_str)).iter().map(|name| name.parse()).collect();
        if let Ok(columns) = columns {
            let given = Csv { header: Header::Given(columns), ..found.csv.clone() };
            if !cells.is_empty() && trial(&head, &given).is_some() {
                (found.csv, found.has_header_record) = (given, true);
            }
        }
    }
    Ok(found)
}

pub(super) fn open(path: &Path) -> Result<File, Error> {
    let shown = path.display();
    File::open(path).map_err(|error| {
        Error::new(ErrorKind::Definition, format!("{shown} cannot be read"))
            .because(error)
            .hint("name a file with --from")
    })
}

/// Why a file cannot be sampled.
pub(super) fn read_error<E: std::fmt::Display>(object: &str, error: ReadError<E>) -> Error {
    match error {
        ReadError::File(fault) => {
            Error::new(ErrorKind::Data, format!("{}: {}", fault.object, fault.message)).hint(fault.hint)
        }
        ReadError::Input { object, source } => Error::from_store(format!("{object} cannot be read"), source),
        ReadError::Emit(error) => Error::new(ErrorKind::Bug, format!("{object}: {error}")),
    }
}

fn sniffed(head: &[u8]) -> Format {
    match head.trim_ascii_start() {
        [b'P', b'A', b'R', b'1', ..] => Format::Parquet,
        [b'{', ..] => Format::Ndjson,
        _ => Format::Csv,
    }
}

/// The result of a trial read: columns, records, broken records.
#[derive(Debug, Clone, Copy)]
struct Trial {
    columns: usize,
    rows: u64,
    broken: u64,
}

impl Trial {
    /// Sort key, lower is better: broken records per thousand, then fewer columns.
    fn badness(self) -> (u64, usize) {
        (self.broken * 1000 / self.rows.max(1), usize::MAX - self.columns)
    }
}

/// Reads the head with a dialect. Returns None if the first line is not a valid header.
fn trial(head: &[u8], csv: &Csv) -> Option<Trial> {
    let mut columns = 0;
    let mut emit = |batch: files::Batch| {
        columns = batch.rows.width().saturating_sub(ORIGIN.len());
        Ok::<_, std::convert::Infallible>(())
    };
    let input = Input::Stream(Box::new(Cursor::new(head.to_vec())));
    let stats = files::read(input, "", Format::Csv, csv, None, &mut emit).ok()?;
    Some(Trial { columns, rows: stats.rows, broken: stats.broken })
}

fn dialect(head: &[u8]) -> Csv {
    // any bytes are valid Windows-1252, so it is chosen only if they are not UTF-8
    let is_utf8 = match std::str::from_utf8(head) {
        Ok(_) => true,
        // the head ends within a character
        Err(error) => error.error_len().is_none(),
    };
    let encoding = if is_utf8 { Encoding::Utf8 } else { Encoding::Windows1252 };
    let standard = Csv { encoding, ..Csv::default() };
    // tried with generated column names instead of the header, so that duplicate names do not rule out a delimiter
    let of = |delimiter| Csv { delimiter, ..standard.clone() };
    let tried = [b',', b';', b'\t', b'|'].map(|delimiter| {
        let csv = of(delimiter);
        let count = cells(head, &csv).len();
        let names = (1..=count).map(|nth| format!("c{nth}").parse());
        let header = names.collect::<Result<_, _>>().map_or(Header::First, Header::Given);
        (trial(head, &Csv { header, ..csv.clone() }), csv)
    });
    let several = tried.into_iter().filter_map(|(trial, csv)| Some((trial.filter(|trial| trial.columns > 1)?, csv)));
    let Some((best, csv)) = several.min_by_key(|(trial, _)| trial.badness()) else { return standard };
    let quoted = |quote| {
        let csv = Csv { quote, ..csv.clone() };
        let trial = trial(head, &csv)?;
        Some((trial, csv))
    };
    if is_wrapped(head, &csv)
        && let Some((trial, single)) = quoted(Some(b'\''))
        && trial.broken <= best.broken
    {
        return single;
    }
    match quoted(None) {
        Some((trial, none)) if best.broken > 0 && trial.broken == 0 => none,
        _ => csv,
    }
}

/// Whether each of the first lines has a field in single quotes.
fn is_wrapped(head: &[u8], csv: &Csv) -> bool {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.lines().skip(1).take(20).filter(|line| !line.is_empty()).peekable();
    let is_wrapped = |line: &str| {
        let mut fields = line.split(char::from(csv.delimiter));
        line.matches('\'').count().is_multiple_of(2)
            && fields.any(|field| field.starts_with('\''))
            && line.split(char::from(csv.delimiter)).any(|field| field.len() > 1 && field.ends_with('\''))
    };
    lines.peek().is_some() && lines.all(is_wrapped)
}

/// The fields of the first record.
fn cells(head: &[u8], csv: &Csv) -> Vec<String> {
    let text = match csv.encoding {
        // for non-ASCII characters only their number matters here
        Encoding::Windows1252 => head.iter().map(|byte| char::from(*byte)).collect(),
        Encoding::Utf8 => String::from_utf8_lossy(head).into_owned(),
    };
    let text = text.trim_start_matches('\u{feff}').trim_start_matches(['\r', '\n']);
    let (delimiter, quote) = (char::from(csv.delimiter), csv.quote.map(char::from));
    let mut cells = vec![String::new()];
    let mut is_quoted = false;
    for letter in text.chars() {
        let Some(cell) = cells.last_mut() else { break };
        match letter {
            letter if Some(letter) == quote => is_quoted = !is_quoted,
            '\n' | '\r' if !is_quoted => break,
            letter if letter == delimiter && !is_quoted => cells.push(String::new()),
            letter => cell.push(letter),
        }
    }
    cells.into_iter().map(|cell| cell.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detect(text: &[u8]) -> (char, Option<char>, Encoding) {
        let csv = dialect(text);
        (char::from(csv.delimiter), csv.quote.map(char::from), csv.encoding)
    }

    #[test]
    fn the_dialect_is_found() {
        use Encoding::{Utf8, Windows1252};
        assert_eq!(detect(b"a,b\n1,2\n"), (',', Some('"'), Utf8));
        assert_eq!(detect(b"a;b\n1,5;2,5\n1,6;\"x;y\"\n"), (';', Some('"'), Utf8));
        assert_eq!(detect(b"a\tb\n1\t2, 3, 4\n"), ('\t', Some('"'), Utf8));
        assert_eq!(detect(b"a|b|c\n1|2|3\n"), ('|', Some('"'), Utf8));
        assert_eq!(detect(b"one\n1\n"), (',', Some('"'), Utf8));
        assert_eq!(detect(b""), (',', Some('"'), Utf8));
        assert_eq!(detect("stra\u{df}e;ort\nx;y\n".as_bytes()), (';', Some('"'), Utf8));
        assert_eq!(detect(b"stra\xdfe;ort\nx;y\n"), (';', Some('"'), Windows1252));
        assert_eq!(detect(b"id;name\n1;'x;y'\n2;'z'\n"), (';', Some('\''), Utf8));
        assert_eq!(detect(b"id,size\n1,\"5\" wide\n2,\"6\" wide\n"), (',', None, Utf8));
        assert_eq!(detect(b"a,a\n1,2\n"), (',', Some('"'), Utf8));
    }

    #[test]
    fn the_first_record_may_have_line_ends_in_quotes() {
        assert_eq!(cells(b"\xef\xbb\xbfa,\"b\nc\", d \r\n1,2,3", &Csv::default()), ["a", "b\nc", "d"]);
    }
}

//! PostgreSQL connection URLs, parsed as by libpq. A URL may contain a password, so messages repeat only names of parameters.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use crate::diagnostic::{did_you_mean, one_of, quoted};

/// A parsed connection URL, without the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// At least one, tried in order.
    pub hosts: Vec<Host>,
    /// `None`: the operating system user of the process.
    pub user: Option<String>,
    pub database: String,
    /// As declared; [`Address::sslmode`] is the effective mode.
    pub given_sslmode: Option<SslMode>,
    /// `sslrootcert`
    pub authorities: Option<Authorities>,
    pub application_name: Option<String>,
    /// Timeout in seconds per host.
    pub connect_timeout_s: Option<u32>,
    /// `target_session_attrs=read-write`: read-only hosts are skipped.
    pub read_write: bool,
    /// Command-line options for the server: `-c search_path=shop`.
    pub options: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// A name, an IP address, or a socket folder (starts with `/`).
    pub name: String,
    /// 5432 by default.
    pub port: u16,
}

/// Encryption and verification of a connection: libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    Disable,
    /// Encrypted if the server supports it; not verified.
    Prefer,
    /// Encrypted; not verified.
    Require,
    /// Encrypted; the certificate must be from a trusted authority.
    VerifyCa,
    /// As `VerifyCa`, and the certificate must be for the host name.
    VerifyFull,
}

/// Trusted certificate authorities, in place of the default ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authorities {
    /// `sslrootcert=system`
    System,
    /// A PEM file of certificates.
    File(String),
}

const PORT: u16 = 5432;
const MODES: [(&str, SslMode); 5] = [
    ("disable", SslMode::Disable),
    ("prefer", SslMode::Prefer),
    ("require", SslMode::Require),
    ("verify-ca", SslMode::VerifyCa),
    ("verify-full", SslMode::VerifyFull),
];
const PARAMETERS: [&str; 6] =
    ["sslmode", "sslrootcert", "application_name", "connect_timeout", "target_session_attrs", "options"];

/// An error in a connection URL. `Display` gives `found; expected …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlFault {
    pub found: String,
    /// Follows "expected " in the message.
    pub expected: String,
    pub hint: Option<String>,
}

impl UrlFault {
    fn new(found: impl Into<String>, expected: impl Into<String>) -> UrlFault {
        UrlFault { found: found.into(), expected: expected.into(), hint: None }
    }
}

impl fmt::Display for UrlFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; expected {}", self.found, self.expected)
    }
}

impl std::error::Error for UrlFault {}

impl Address {
    /// Parses a URL into an address, which can be displayed, and the password.
    ///
    /// # Errors
    /// The first error. Its message repeats nothing of the URL but names of parameters.
    pub fn parse(url: &str) -> Result<(Address, Option<String>), UrlFault> {
        let rest = ["postgres://", "postgresql://"].into_iter().find_map(|scheme| url.strip_prefix(scheme));
        let example = "`postgres://user@host:5432/database`";
        let rest = rest.ok_or_else(|| UrlFault::new("a URL that is not a PostgreSQL URL", example))?;
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if path.contains('@') {
            // the `/` or `?` may be part of a password, so the text after it is not shown
            let expected = "`/`, `?` and `@` of a user, a password or a value written `%2F`, `%3F` and `%40`";
            return Err(UrlFault::new("a URL with `@` after its host", expected));
        }
        let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = login.split_once(':').map_or((login, None), |(user, word)| (user, Some(word)));
        let hosts = hosts.split(',').map(host).collect::<Result<_, _>>()?;
        let (database, query) = path.split_once('?').unwrap_or((path, ""));
        let database = decoded(database.strip_prefix('/').unwrap_or_default())?;
        if database.is_empty() {
            return Err(UrlFault::new("a URL without a database", format!("its name after the host, as in {example}")));
        }
        let user = decoded(user)?;
        let mut address = Address {
            hosts,
            user: (!user.is_empty()).then_some(user),
            database,
            given_sslmode: None,
            authorities: None,
            application_name: None,
            connect_timeout_s: None,
            read_write: false,
            options: None,
        };
        address.set_parameters(query)?;
        Ok((address, password.map(decoded).transpose()?))
    }

    /// Whether a URL, valid or not, has text in the position of a password.
    pub(crate) fn has_password(url: &str) -> bool {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        rest.rsplit_once('@').is_some_and(|(login, _)| login.contains(':'))
    }

    fn set_parameters(&mut self, query: &str) -> Result<(), UrlFault> {
        let mut seen: Vec<String> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name)?, decoded(value)?);
            let wrong = |expected: String| {
                Err(UrlFault::new(format!("an invalid value for parameter `{name}` of the URL"), expected))
            };
            if seen.contains(&name) {
                return Err(UrlFault::new(format!("a second parameter {} of the URL", quoted(&name)), "each once"));
            }
            match name.as_str() {
                "sslmode" => match MODES.iter().find(|(mode, _)| *mode == value) {
                    Some((_, mode)) => self.given_sslmode = Some(*mode),
                    None => return wrong(one_of(MODES.map(|(mode, _)| mode))),
                },
                "target_session_attrs" => match value.as_str() {
                    "any" => self.read_write = false,
                    "read-write" => self.read_write = true,
                    _ => return wrong("`any` or `read-write`".to_owned()),
                },
                "connect_timeout" => match value.parse().ok().filter(|seconds| (1..=3_600).contains(seconds)) {
                    Some(seconds) => self.connect_timeout_s = Some(seconds),
                    None => return wrong("seconds from 1 to 3600".to_owned()),
                },
                "sslrootcert" if value.is_empty() => return wrong("a file of certificates, or `system`".to_owned()),
                "sslrootcert" if value == "system" => self.authorities = Some(Authorities::System),
                "sslrootcert" => self.authorities = Some(Authorities::File(value)),
                "application_name" => self.application_name = Some(value),
                "options" => self.options = Some(value),
                _ => {
                    let found = format!("unknown parameter {} of the URL", quoted(&name));
                    let hint = did_you_mean(&name, PARAMETERS);
                    return Err(UrlFault { hint, ..UrlFault::new(found, one_of(PARAMETERS)) });
                }
            }
            seen.push(name);
        }
        // as in libpq: the system's authorities certify any host, so the host name must be verified too
        if self.authorities == Some(Authorities::System) && self.sslmode() != SslMode::VerifyFull {
            let found = "parameter `sslrootcert=system` of the URL with a weaker `sslmode`";
            return Err(UrlFault::new(found, "`sslmode=verify-full` as well"));
        }
        Ok(())
    }

    /// The effective mode. Default: `verify-full`, and `prefer` on this machine. `require` with a file of authorities is `verify-ca`, as in
    /// libpq.
    pub fn sslmode(&self) -> SslMode {
        match (self.given_sslmode, &self.authorities) {
            (Some(SslMode::Require), Some(Authorities::File(_))) => SslMode::VerifyCa,
            (Some(mode), _) => mode,
            (None, None) if self.hosts.iter().all(Host::is_local) => SslMode::Prefer,
            (None, _) => SslMode::VerifyFull,
        }
    }
}

impl Host {
    /// Whether the host is this machine.
    fn is_local(&self) -> bool {
        let address = self.name.parse::<IpAddr>();
        self.name.starts_with('/') || self.name == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }
}

/// Hosts and database: `db.example.com:5433/shop`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Host { name, port }) in self.hosts.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let (open, close) = if name.contains(':') { ("[", "]") } else { ("", "") };
            write!(f, "{comma}{open}{name}{close}")?;
            if *port != PORT {
                write!(f, ":{port}")?;
            }
        }
        write!(f, "/{}", self.database)
    }
}

fn host(text: &str) -> Result<Host, UrlFault> {
    let fault =
        || UrlFault::new("a URL without a host", "a host's name or address, as in `postgres://user@host/database`");
    let (name, port) = match text.strip_prefix('[') {
        Some(inside) => {
            let (name, port) = inside.split_once(']').ok_or_else(fault)?;
            name.parse::<Ipv6Addr>().map_err(|_| fault())?;
            (name.to_owned(), port)
        }
        None => {
            let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (decoded(name)?, port)
        }
    };
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(fault());
    }
    let digits =
        |port: &str| port.strip_prefix(':').filter(|port| port.bytes().all(|b| b.is_ascii_digit()))?.parse().ok();
    let port = if port.is_empty() { Some(PORT) } else { digits(port).filter(|port| *port > 0) };
    let port = port.ok_or_else(|| UrlFault::new("a URL with an invalid port", "a port from 1 to 65535"))?;
    Ok(Host { name, port })
}

/// Decodes percent-encoding: `%2F` → `/`. A `+` is not changed.
fn decoded(text: &str) -> Result<String, UrlFault> {
    let fault = |found: &str| UrlFault::new(found, "percent-encoded UTF-8, as in `%2F`, and `%25` for `%`");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let (byte, tail) = match (first, tail) {
            (b'%', [high, low, tail @ ..]) => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                let (high, low) =
                    digit(high).zip(digit(low)).ok_or_else(|| fault("a URL with an invalid `%` sequence"))?;
                (high << 4 | low, tail)
            }
            (b'%', _) => return Err(fault("a URL with an invalid `%` sequence")),
            (byte, tail) => (*byte, tail),
        };
        bytes.push(byte);
        rest = tail;
    }
    let text = String::from_utf8(bytes).map_err(|_| fault("a URL with encoded bytes that are not UTF-8"))?;
    if text.contains('\0') {
        return Err(fault("a URL with an encoded NUL"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests;

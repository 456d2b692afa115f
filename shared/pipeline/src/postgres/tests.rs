use super::*;

fn address(url: &str) -> Address {
    Address::parse(url).unwrap_or_else(|fault| panic!("{url}: {fault}")).0
}

fn host(name: &str, port: u16) -> Host {
    Host { name: name.to_owned(), port }
}

#[test]
fn all_a_url_says() {
    let url = "postgresql://lo%40der:s%2Fe%3Acret@db-1.example.com,db-2:6432,[2001:db8::1]:7/sh%20op?sslmode=verify-ca\
               &sslrootcert=%2Fetc%2Fca.pem&application_name=tide+mark&connect_timeout=5\
               &target_session_attrs=read-write&options=-c%20search_path%3Dx";
    let (address, password) = Address::parse(url).unwrap();
    assert_eq!(password.as_deref(), Some("s/e:cret"));
    assert_eq!(
        address,
        Address {
            hosts: vec![host("db-1.example.com", 5432), host("db-2", 6432), host("2001:db8::1", 7)],
            user: Some("lo@der".into()),
            database: "sh op".into(),
            given_sslmode: Some(SslMode::VerifyCa),
            authorities: Some(Authorities::File("/etc/ca.pem".into())),
            application_name: Some("tide+mark".into()),
            connect_timeout_s: Some(5),
            read_write: true,
            options: Some("-c search_path=x".into()),
        }
    );
    assert_eq!(address.to_string(), "db-1.example.com,db-2:6432,[2001:db8::1]:7/sh op");
    assert!(!format!("{address:?}{address}").contains("cret"));
}

#[test]
fn the_least_a_url_says() {
    let (address, password) = Address::parse("postgres://h/d?").unwrap();
    assert_eq!((address.user, password, address.given_sslmode), (None, None, None));
    assert_eq!(Address::parse("postgres://u:@h/d").unwrap().1.as_deref(), Some(""));
    assert_eq!(address.hosts, [host("h", 5432)]);
}

#[test]
fn the_mode_that_holds() {
    for (url, mode) in [
        ("postgres://db.example.com/d", SslMode::VerifyFull),
        ("postgres://localhost.example.com/d", SslMode::VerifyFull),
        ("postgres://localhost,db.example.com/d", SslMode::VerifyFull),
        ("postgres://localhost/d", SslMode::Prefer),
        ("postgres://127.0.0.1,[::1],%2Frun%2Fpostgresql/d", SslMode::Prefer),
        ("postgres://localhost/d?sslrootcert=ca.pem", SslMode::VerifyFull),
        ("postgres://localhost/d?sslrootcert=system", SslMode::VerifyFull),
        ("postgres://h/d?sslmode=disable", SslMode::Disable),
        ("postgres://h/d?sslmode=require", SslMode::Require),
        ("postgres://h/d?sslmode=require&sslrootcert=ca.pem", SslMode::VerifyCa),
        ("postgres://h/d?sslmode=prefer&sslrootcert=ca.pem", SslMode::Prefer),
    ] {
        assert_eq!(address(url).sslmode(), mode, "{url}");
    }
}

#[test]
fn what_is_no_url_is_said_without_it() {
    for (url, found) in [
        ("", "a URL that is not a PostgreSQL URL"),
        ("mysql://u:hunter@h/d", "a URL that is not a PostgreSQL URL"),
        ("host=hunter dbname=d", "a URL that is not a PostgreSQL URL"),
        ("postgres://", "a URL without a host"),
        ("postgres:///d", "a URL without a host"),
        ("postgres://u:hunter@/d", "a URL without a host"),
        ("postgres://h,,i/d", "a URL without a host"),
        ("postgres://h h/d", "a URL without a host"),
        ("postgres://[hunter]/d", "a URL without a host"),
        ("postgres://[::1/d", "a URL without a host"),
        ("postgres://h:/d", "a URL with an invalid port"),
        ("postgres://h:+5432/d", "a URL with an invalid port"),
        ("postgres://h:0/d", "a URL with an invalid port"),
        ("postgres://h:65536/d", "a URL with an invalid port"),
        ("postgres://[::1]5432/d", "a URL with an invalid port"),
        ("postgres://u:hunter@h", "a URL without a database"),
        ("postgres://h/?sslmode=require", "a URL without a database"),
        ("postgres://u:hun/ter@h/d", "a URL with `@` after its host"),
        ("postgres://u:5432/hun?ter=1@h/d", "a URL with `@` after its host"),
        ("postgres://u:p@hun/ter?er=x@h/d", "a URL with `@` after its host"),
        ("postgres://u:100%hunter@h/d", "a URL with an invalid `%` sequence"),
        ("postgres://h/hunter%2", "a URL with an invalid `%` sequence"),
        ("postgres://h/hunter%+f", "a URL with an invalid `%` sequence"),
        ("postgres://h/hunter%ff", "a URL with encoded bytes that are not UTF-8"),
        ("postgres://h/hunter%00", "a URL with an encoded NUL"),
        ("postgres://h/d?sslmode=hunter", "an invalid value for parameter `sslmode` of the URL"),
        ("postgres://h/d?sslmode=allow", "an invalid value for parameter `sslmode` of the URL"),
        ("postgres://h/d?connect_timeout=0", "an invalid value for parameter `connect_timeout` of the URL"),
        ("postgres://h/d?connect_timeout=hunter", "an invalid value for parameter `connect_timeout` of the URL"),
        (
            "postgres://h/d?target_session_attrs=standby",
            "an invalid value for parameter `target_session_attrs` of the URL",
        ),
        ("postgres://h/d?sslrootcert=", "an invalid value for parameter `sslrootcert` of the URL"),
        ("postgres://h/d?password=hunter", "unknown parameter `password` of the URL"),
        ("postgres://h/d?options=hunter&options=x", "a second parameter `options` of the URL"),
        (
            "postgres://h/d?sslrootcert=system&sslmode=require",
            "parameter `sslrootcert=system` of the URL with a weaker `sslmode`",
        ),
    ] {
        let fault = Address::parse(url).map(|_| ()).unwrap_err();
        assert_eq!(fault.found, found, "{url}");
        assert!(!format!("{fault:?}{fault}").contains("hun"), "{fault}");
    }
    let fault = Address::parse("postgres://h/d?ssl_mode=require").unwrap_err();
    assert_eq!(
        fault.to_string(),
        "unknown parameter `ssl_mode` of the URL; expected one of `sslmode`, `sslrootcert`, `application_name`, \
         `connect_timeout`, `target_session_attrs`, `options`"
    );
    assert_eq!(fault.hint.as_deref(), Some("did you mean `sslmode`?"));
}

#[test]
fn a_password_is_seen_wherever_it_is() {
    for (url, has) in [
        ("postgres://u:p@h/d", true),
        ("postgres://u:@h/d", true),
        ("postgres://u:p/q@h/d", true),
        ("postgres://${U}:${P}@h/d", true),
        ("u:p@h/d", true),
        ("postgres://u@h:5432/d", false),
        ("postgres://u@${H}:${P}/d", false),
        ("${WAREHOUSE}", false),
    ] {
        assert_eq!(Address::has_password(url), has, "{url}");
    }
}

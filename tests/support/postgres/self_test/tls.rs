use std::error::Error as _;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::Error;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::support::postgres::client::wait;
use crate::support::postgres::{Authority, Front, Proxy, ask, database};

/// Connects by TLS, trusting only this authority.
fn connect(host: &str, port: u16, name: &str, authority: &Authority) -> Result<(), Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let tls = MakeRustlsConnect::new(config.with_root_certificates(roots).with_no_client_auth());
    let url = format!("postgres://postgres@{host}:{port}/{name}?sslmode=require");
    wait(async move {
        let (client, connection) = tokio_postgres::connect(&url, tls).await?;
        let driven = tokio::spawn(connection);
        client.simple_query("SELECT 1").await?;
        drop(client);
        driven.await.unwrap()
    })
}

fn why(error: &Error) -> String {
    error.source().unwrap().to_string()
}

#[test]
fn the_front_presents_its_certificate() {
    let Some(database) = database() else { return };
    let (house, stranger) = (Authority::new("the house"), Authority::new("a stranger"));
    let (port, name) = (database.port(), database.name());
    let front = Front::before(port, &house, "localhost");
    connect("localhost", front.port(), name, &house).unwrap();
    let error = connect("localhost", front.port(), name, &stranger).unwrap_err();
    assert!(why(&error).contains("UnknownIssuer") || why(&error).contains("BadSignature"), "{}", why(&error));
    let error = connect("127.0.0.1", front.port(), name, &house).unwrap_err();
    assert!(why(&error).contains("not valid for"), "{}", why(&error));
    // A client without TLS, and a client with TLS at a server without.
    let error = ask(&format!("postgres://postgres@localhost:{}/{name}", front.port()), "SELECT 1").unwrap_err();
    assert_eq!(error.code().unwrap().code(), "28000");
    let error = connect("localhost", port, name, &house).unwrap_err();
    assert!(why(&error).contains("does not support TLS"), "{}", why(&error));
    assert!(house.pem().starts_with("-----BEGIN CERTIFICATE-----"), "{}", house.pem());
}

#[test]
fn a_proxy_behind_the_front_sees_the_messages() {
    let Some(database) = database() else { return };
    let house = Authority::new("the house");
    let proxy = Proxy::before(database.port());
    let front = Front::before(proxy.port(), &house, "localhost");
    connect("localhost", front.port(), database.name(), &house).unwrap();
    assert!(proxy.messages().iter().any(|(_, kind)| *kind == b'Q'), "{:?}", proxy.messages());
}

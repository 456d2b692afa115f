//! Mails as a server receives them, and the errors for each kind of failure.

use std::time::Instant;

use serde_json::json;
use tidemark_flow::{Error, ErrorKind, Secret};
use tidemark_pipeline::SecretName;
use tokio::runtime::Runtime;
use watch::channel::{Address, Channels};
use watch::message::Message;

use super::channels::{hostile, message, now, resolved};
use crate::support::own_program::{RESULT_PREFIX, run_test_in_process};
use crate::support::postgres::Authority;
use crate::support::receivers::{Smtp, Way};
use crate::support::running::TestEnvironment;

const PASSWORD: &str = "hidden-password";

fn send_with(settings: &[(&str, &str)], password: &str, to: &str, messages: &[Message]) -> Result<(), Error> {
    let secret = |name: &SecretName| {
        assert_eq!(name.as_str(), "smtp-password");
        Ok(Secret::new(password))
    };
    let secrets = TestEnvironment { secret: &secret, ..TestEnvironment::default() };
    let clock = || now();
    let set = |name: &str| settings.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let mailer = watch::channel::Smtp::from_variables(set, &secrets, &clock);
    let runtime = Runtime::new().unwrap();
    let channels = Channels::new(&secrets, &mailer, &clock, runtime.handle().clone());
    channels.send(&Address::Email(to.to_owned()), messages)
}

fn send(url: &str, messages: &[Message]) -> Result<(), Error> {
    let settings = [("TIDEMARK_SMTP", url), ("TIDEMARK_MAIL_FROM", "tidemark@example.org")];
    send_with(&settings, PASSWORD, "data@example.com", messages)
}

#[track_caller]
fn fails(result: Result<(), Error>, kind: ErrorKind, words: &str) {
    let error = result.unwrap_err();
    let hint = error.hint.clone().unwrap_or_default();
    assert_eq!(error.kind, kind, "{}", error.full_message());
    assert!(error.full_message().contains(words), "{} does not say {words}", error.full_message());
    assert!(!hint.is_empty());
    for text in [error.full_message(), hint, format!("{error:?}")] {
        assert!(!text.contains("hidden"), "{text}");
    }
}

#[test]
fn mail_arrives_unchanged() {
    let Some(smtp) = Smtp::start() else { return };
    send(&smtp.url(), &[message(1)]).unwrap();
    send(&smtp.url(), &[resolved(1)]).unwrap();
    send(&smtp.url(), &[hostile()]).unwrap();
    let many: Vec<Message> = (0..70).map(message).collect();
    send(&smtp.url(), &many).unwrap();
    let taken = smtp.taken();
    assert_eq!(taken.len(), 4);
    let header = |n: usize, name: &str| taken[n]["headers"][name].as_str().unwrap_or_default().to_owned();
    let first = &taken[0];
    assert_eq!((&first["from"], &first["to"]), (&json!("tidemark@example.org"), &json!(["data@example.com"])));
    assert_eq!((&first["hello"], &first["is_encrypted"]), (&json!("example.org"), &json!(false)));
    assert_eq!(first["type"], "multipart/alternative");
    assert_eq!(header(0, "from"), "Tidemark <tidemark@example.org>");
    assert_eq!(header(0, "to"), "data@example.com");
    assert_eq!(header(0, "subject"), "[critical] orders: load postgres-orders failed (1)");
    assert_eq!(header(0, "date"), "Thu, 26 Nov 2026 08:05:00 +0000");
    assert_eq!(header(0, "auto-submitted"), "auto-generated");
    let text = first["text"].as_str().unwrap();
    assert!(text.starts_with("CRITICAL: orders: load postgres-orders failed (1)\n====="), "{text}");
    assert!(text.contains("\n  tidemark run orders --at 2026-11-26T08:00:00Z\n"), "{text}");
    assert!(first["html"].as_str().unwrap().starts_with("<!DOCTYPE html>\n"));
    // the mails form one thread
    assert!(header(0, "message-id").ends_with("@example.org>") && header(0, "in-reply-to").is_empty());
    assert_eq!(header(1, "in-reply-to"), header(0, "message-id"));
    assert_eq!(header(1, "references"), header(0, "message-id"));
    assert_ne!(header(1, "message-id"), header(0, "message-id"));
    // no part of an error becomes a header, a second recipient or a tag
    let hostile = &taken[2];
    assert_eq!(hostile["to"], json!(["data@example.com"]));
    assert_eq!(header(2, "bcc"), "");
    assert!(
        header(2, "subject").starts_with("[critical] <!channel> Bcc: everybody@example.com🚀"),
        "{}",
        header(2, "subject")
    );
    assert!(!hostile["html"].as_str().unwrap().contains("<script>"));
    assert_eq!(header(3, "subject"), "[tidemark] 70 incidents: 70 critical (orders)");
    assert!(taken[3]["text"].as_str().unwrap().contains("\nand 20 more\n"));
    for mail in &taken {
        assert!(mail["longest_line"].as_u64().unwrap() <= 998, "{}", mail["longest_line"]);
    }
}

#[test]
fn mail_server_refusals_are_reported() {
    use ErrorKind::{Definition, Retry};
    let Some(mut smtp) = Smtp::start() else { return };
    for (answer, kind, words) in [
        (
            json!({"rcpt": "550 5.1.1 no such user"}),
            Definition,
            "refuses a mail to data@example.com (550 5.1.1 no such user)",
        ),
        (json!({"mail": "553 5.7.1 not yours"}), Definition, "(553 5.7.1 not yours)"),
        (json!({"data": "554 5.7.1 looks like spam"}), Definition, "(554 5.7.1 looks like spam)"),
        (json!({"mail": "530 5.7.0 who are you"}), Definition, "requires a login (530 5.7.0 who are you)"),
        (json!({"rcpt": "450 4.2.1 try later"}), Retry, "does not accept mail at the moment (450 4.2.1 try later)"),
        (json!({"data": "452 4.3.1 full"}), Retry, "(452 4.3.1 full)"),
    ] {
        smtp.answer(answer);
        fails(send(&smtp.url(), &[message(1)]), kind, words);
    }
    assert_eq!(smtp.taken().len(), 0);
    // it is unknown whether the mail was accepted
    smtp.answer(json!({"cut_after": true}));
    fails(send(&smtp.url(), &[message(1)]), Retry, "cannot be reached");
    assert_eq!(smtp.taken().len(), 1);
    smtp.answer(json!({"silent": true}));
    let began = Instant::now();
    fails(send(&smtp.url(), &[message(1)]), Retry, "cannot be reached (no answer in time)");
    assert!(began.elapsed().as_secs() >= 9, "{:?}", began.elapsed());
    smtp.answer(json!({}));
    send(&smtp.url(), &[message(1)]).unwrap();
    // A server without STARTTLS, addressed by a name that is not loopback.
    let elsewhere = smtp.url().replace("127.0.0.1", "0.0.0.0");
    fails(send(&elsewhere, &[message(1)]), Definition, "STARTTLS is not supported");
    assert_eq!(smtp.taken().len(), 2);
    smtp.stop();
    fails(send(&smtp.url(), &[message(1)]), Retry, "cannot be reached (Connection refused");
}

#[test]
fn missing_or_invalid_settings_are_reported() {
    let result = |settings: &[(&str, &str)], to: &str| send_with(settings, PASSWORD, to, &[message(1)]);
    let (smtp, from) = (("TIDEMARK_SMTP", "smtp://127.0.0.1:1"), ("TIDEMARK_MAIL_FROM", "tidemark@example.org"));
    fails(result(&[from], "a@example.com"), ErrorKind::Definition, "there is no mail server");
    fails(result(&[smtp], "a@example.com"), ErrorKind::Definition, "the sender of mail is not set");
    let nobody = ("TIDEMARK_MAIL_FROM", "nobody");
    fails(result(&[smtp, nobody], "a@example.com"), ErrorKind::Definition, "TIDEMARK_MAIL_FROM is not an address");
    let with_password = ("TIDEMARK_SMTP", "smtp://tidemark:hidden@mail.example.com");
    fails(result(&[with_password, from], "a@example.com"), ErrorKind::Definition, "TIDEMARK_SMTP contains a password");
    fails(
        result(&[smtp, from], "nobody\r\nBcc: b@c.d"),
        ErrorKind::Definition,
        "\"nobody Bcc: b@c.d\" is not an address",
    );
}

/// Started by `run_test_in_process`; does nothing if the variables are not set.
#[test]
fn sends_with_settings_from_the_environment() {
    let (Ok(url), Ok(password)) = (std::env::var("ALERTS_SMTP"), std::env::var("ALERTS_PASSWORD")) else {
        return;
    };
    let settings = [("TIDEMARK_SMTP", url.as_str()), ("TIDEMARK_MAIL_FROM", "Data <tidemark@example.org>")];
    let result = match send_with(&settings, &password, "data@example.com", &[message(1)]) {
        Ok(()) => json!({"kind": "sent", "says": ""}),
        Err(error) => json!({"kind": error.kind, "says": error.full_message()}),
    };
    println!("{RESULT_PREFIX}{result}");
}

#[test]
fn mail_is_encrypted_and_the_server_verified() {
    let (house, stranger) = (Authority::new("the house"), Authority::new("a stranger"));
    for way in [Way::StartTls, Way::Tls] {
        let Some(smtp) = Smtp::with(way, Some(("tidemark", PASSWORD)), Some(&house)) else { return };
        let result = |authority, url: &str, password| {
            let environment = [("ALERTS_SMTP", url), ("ALERTS_PASSWORD", password)];
            let result =
                run_test_in_process("alerts::mail::sends_with_settings_from_the_environment", &environment, authority);
            let says = result["says"].as_str().unwrap().to_owned();
            assert!(!says.contains("hidden"), "{says}");
            (result["kind"].as_str().unwrap().to_owned(), says)
        };
        let url = smtp.url();
        assert_eq!(result(Some(&house), &url, PASSWORD).0, "sent", "{way:?}");
        let taken = smtp.taken();
        assert_eq!(taken.len(), 1);
        assert_eq!((&taken[0]["is_encrypted"], &taken[0]["user"]), (&json!(true), &json!("tidemark")));
        assert_eq!(taken[0]["headers"]["from"], "Data <tidemark@example.org>");

        let (kind, says) = result(Some(&house), &url, "hidden-and-wrong");
        assert!(kind == "definition" && says.contains("rejects the login of tidemark (535"), "{says}");
        let (kind, says) = result(Some(&house), &url.replace("tidemark@", ""), PASSWORD);
        assert!(kind == "definition" && says.contains("requires a login (530"), "{says}");
        for authority in [Some(&stranger), None] {
            let (kind, says) = result(authority, &url, PASSWORD);
            assert!(kind == "refused" && says.contains("cannot be verified"), "{says}");
        }
        if way == Way::Tls {
            let (kind, says) = result(Some(&house), &url.replace("127.0.0.1", "localhost"), PASSWORD);
            assert!(kind == "refused" && says.contains("not valid for"), "{says}");
        }
        assert_eq!(smtp.taken().len(), 1, "{way:?}");
    }
}

#[test]
fn a_login_on_this_machine_needs_no_certificate() {
    let Some(smtp) = Smtp::with(Way::Plain, Some(("tidemark", PASSWORD)), None) else { return };
    send(&smtp.url(), &[message(1)]).unwrap();
    assert_eq!(smtp.taken()[0]["user"], "tidemark");
}

//! The functions under `cargo lambda watch` and `cargo lambda invoke`, as in infra/README.md, with a lake in a folder.

use std::net::TcpStream;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::port::free_port;
use crate::support::process_group::Group;
use crate::support::project::{Answer, Site, forget_cargo, root, sales};
use crate::support::python::cargo_lambda;
use crate::support::wait::until;

#[test]
fn samples_can_be_invoked_locally() {
    let Some(cargo_lambda) = cargo_lambda() else { return };
    let site = Site::new();
    site.write("sales/2026-03-02.csv", sales("2026-03-02", &[("600001", "A", 3, "2.50"), ("600002", "B", 1, "1.25")]));
    let port = free_port().to_string();
    let mut watch = site.command(&cargo_lambda);
    watch.args(["lambda", "watch", "--invoke-port", &port]).current_dir(root());
    watch
        .env("TIDEMARK_LAKE", site.path("lake"))
        .env("TIDEMARK_PIPELINES", "infra/pipelines")
        .env("TIDEMARK_BUS", "none");
    watch.env("SALES", site.path("sales")).env("REPORTS", site.path("out")).env("ORDERS_API", "https://orders.example");
    forget_cargo(&mut watch);
    watch.stdout(Stdio::null()).stderr(Stdio::null());
    let _watch = Group::spawn(&mut watch);
    until("cargo lambda listens", || TcpStream::connect(format!("127.0.0.1:{port}")).is_ok());
    let page = std::fs::read_to_string(root().join("infra/README.md")).unwrap();
    let invoke = |function: &str, sample: &str| -> Value {
        let shown = format!("cargo lambda invoke -A 127.0.0.1 {function} --data-file events/{sample}.json\n");
        assert!(page.contains(&shown), "infra/README.md does not show {shown}");
        let mut command = Command::new(&cargo_lambda);
        command.args(["lambda", "invoke", "-A", "127.0.0.1", "-P", &port, function, "--data-file"]);
        command.arg(format!("events/{sample}.json")).current_dir(root());
        Answer::from_command(&mut command).expect(0).json()
    };
    let step = |record: &Value| format!("{} {}", record["step"].as_str().unwrap(), record["status"].as_str().unwrap());
    assert_eq!(step(&invoke("ingest", "schedule")), "ingest done");
    assert_eq!(step(&invoke("transform", "step-due-clean")), "clean done");
    assert_eq!(step(&invoke("transform", "step-due-model")), "model sales_by_day done");
    let waits = invoke("load", "step-due-load");
    assert_eq!(step(&waits), "load report nothing_to_do");
    assert!(waits["notes"][0].as_str().unwrap().starts_with("waits for model"), "{waits}");
    // There are no incidents, and the three runs with work to do have records.
    let seen = invoke("watch", "tick");
    assert_eq!((&seen["pipelines"], &seen["records"], &seen["open"]), (&2.into(), &3.into(), &0.into()), "{seen}");
    assert_eq!(site.sql("SELECT orders FROM sales_by_day"), [[2]]);
}

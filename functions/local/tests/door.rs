//! A smoke test of the binary. Because it is an integration test, `cargo test` builds the binary, which tests of the whole workspace run.

use std::process::Command;

#[test]
fn the_command_prints_its_version() {
    let output = Command::new(env!("CARGO_BIN_EXE_tidemark")).arg("--version").output().unwrap();
    assert!(output.status.success());
    let version = concat!("tidemark ", env!("CARGO_PKG_VERSION"), " (build ");
    assert!(String::from_utf8(output.stdout).unwrap().starts_with(version));
}

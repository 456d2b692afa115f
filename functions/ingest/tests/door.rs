//! A smoke test of the binary. Because it is an integration test, `cargo test` builds the binary, which tests of the whole workspace run.

use std::process::Command;

#[test]
fn without_lambda_it_says_what_it_is_for() {
    let output = Command::new(env!("CARGO_BIN_EXE_ingest")).env_clear().output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && stderr.contains("cargo lambda watch") && !stderr.contains("panicked"),
        "{stderr}"
    );
}

//! The bootstrap binary starts. Because this test exists, `cargo test` builds the bootstrap, which the tests of the whole workspace then
//! run.

use std::process::Command;

#[test]
fn without_lambda_it_says_what_it_is_for() {
    let output = Command::new(env!("CARGO_BIN_EXE_transform")).env_clear().output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && stderr.contains("cargo lambda watch") && !stderr.contains("panicked"),
        "{stderr}"
    );
}

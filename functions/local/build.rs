//! Gives this crate the fingerprint of the program.

#[path = "../../shared/flow/build/fingerprint.rs"]
mod fingerprint;

fn main() {
    fingerprint::emit();
}

//! Provides this crate with the program's fingerprint.

#[path = "../../shared/flow/build/fingerprint.rs"]
mod fingerprint;

fn main() {
    fingerprint::emit();
}

//! Function `ingest` on Lambda: what a source holds comes into its raw dataset. This file is the door; `lib.rs` is the house.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), tidemark_aws::RuntimeError> {
    tidemark_aws::serve("ingest", ingest::step)
}

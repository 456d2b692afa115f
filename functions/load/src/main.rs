//! Function `load` on Lambda: datasets into databases and reports. This file is the door; `lib.rs` is the house.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), tidemark_aws::RuntimeError> {
    tidemark_aws::serve("load", load::step)
}

//! Function `transform` on Lambda: raw rows through their contract, and SQL over datasets into models. This file is only the entry point;
//! the code is in `lib.rs`.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), tidemark_aws::RuntimeError> {
    tidemark_aws::serve("transform", transform::step)
}

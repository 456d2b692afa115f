//! Entry point of function `load` on Lambda: loads datasets into databases and reports. The code is in `lib.rs`.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), tidemark_aws::RuntimeError> {
    tidemark_aws::serve("load", load::step)
}

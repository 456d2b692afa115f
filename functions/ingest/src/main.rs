//! Function `ingest` on Lambda: reads a source into its raw dataset. This is only the entry point; the code is in the library.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), tidemark_aws::RuntimeError> {
    tidemark_aws::serve("ingest", ingest::step)
}

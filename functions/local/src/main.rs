//! Entry point of the command `tidemark`.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;
use tidemark::args::Cli;
use tidemark::exit::Exit;
use tidemark::verbs;
use tidemark_flow::settings;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tidemark_flow::watch_panics();
    let cli = Cli::parse();
    // the Delta kernel logs an error for a table that does not exist yet, which is expected here
    let filter = std::env::var(settings::LOG)
        .unwrap_or_else(|_| "error,watch=off,delta_kernel=off,delta_kernel_default_engine=off".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .without_time()
        .init();
    let json = cli.wants_json();
    verbs::act(cli).unwrap_or_else(|error| Exit::report(&error, json)).into()
}

//! The command `tidemark`. This file is the door: arguments in, exit code out.

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
    // the kernel logs as an error what is an answer to us: a table that is not there yet
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

//! The command `tidemark`: every step in one process, on your machine. This file is the door: arguments in, exit code out.

mod cli;
mod definitions;
mod demo;
mod exit;
mod frames;
mod look;
mod plan;
mod print;
mod progress;
mod run;
mod steps;
mod world;

use std::process::ExitCode;

use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let filter = std::env::var(tidemark_flow::settings::LOG).unwrap_or_else(|_| "error".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
    match cli.act() {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("{}", exit::describe(&error));
            exit::Exit::of(&error).into()
        }
    }
}

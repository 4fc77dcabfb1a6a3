//! `aria`: the bridge and its tools, one command each.

mod cli;

#[global_allocator]
static ALLOCATOR: aria_bridge::memory::Allocator = aria_bridge::memory::Allocator;

fn main() -> std::process::ExitCode {
    cli::run()
}

//! The commands. Exit codes: 0 done, 1 failed, 2 bad arguments or configuration.

mod call;
mod check;
mod demo;
mod desk;
mod dial;
mod doctor;
mod init;
mod load;
mod model;
mod number;
mod openapi;
mod records;
mod serve;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use aria_bridge::config::{ConfigError, Settings, Sources};
use clap::{Parser, Subcommand};

/// A voice AI on the phone: Twilio Media Streams on one side, OpenAI Realtime over WebRTC on the other.
#[derive(Parser)]
#[command(name = "aria", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the bridge until SIGTERM or ctrl-c, then drains.
    Serve(serve::Arguments),
    /// Holds one call on loopback with a simulated phone and model, shows it live and measures it.
    Demo(demo::Arguments),
    /// Plays a simulated phone against a running bridge.
    Call(call::Arguments),
    /// Puts a bridge under load and measures what it adds to the sound.
    Load(load::Arguments),
    /// Runs the simulated OpenAI Realtime endpoint alone.
    Model(model::Arguments),
    /// Runs the simulated customer system and calendar alone, for tools to call.
    Desk(desk::Arguments),
    /// Writes a commented configuration file.
    Init(init::Arguments),
    /// Validates a configuration without starting.
    Check(check::Arguments),
    /// Looks at everything that a call needs, and says what to fix.
    Doctor(doctor::Arguments),
    /// Shows and sets the webhooks of Twilio's numbers.
    Number(number::Arguments),
    /// Has a running bridge place a call.
    Dial(dial::Arguments),
    /// Prints the document of the API (OpenAPI 3.1).
    Openapi(openapi::Arguments),
    /// Removes what is kept of calls.
    Records(records::Arguments),
}

/// Where the configuration is.
#[derive(clap::Args, Clone, Default)]
struct ConfigArgument {
    /// Configuration file; without it `aria.toml` if it is there.
    #[arg(long, env = "ARIA_CONFIG")]
    config: Option<PathBuf>,
}

impl ConfigArgument {
    fn load(&self) -> Result<Settings, ConfigError> {
        aria_bridge::config::load(&self.sources())
    }

    fn sources(&self) -> Sources {
        Sources::from_process(self.config.clone())
    }
}

/// What a command failed with.
enum Failure {
    /// Exit code 2.
    Configuration(String),
    /// Exit code 1.
    Failed(anyhow::Error),
    /// Exit code 1; why has been shown already.
    Shown,
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Configuration(error.to_string())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

/// Parses the arguments and runs the command.
pub fn run() -> ExitCode {
    leave_no_core();
    let arguments = Arguments::parse();
    // Flamegraphs and `top -H` tell threads by their names.
    let started = AtomicUsize::new(0);
    let name = move || format!("control-{}", started.fetch_add(1, Ordering::Relaxed));
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().thread_name_fn(name).build()
    {
        Ok(runtime) => runtime,
        Err(error) => return report(Failure::Failed(error.into())),
    };
    let outcome = runtime.block_on(async {
        match arguments.command {
            Command::Serve(arguments) => serve::run(arguments).await,
            Command::Demo(arguments) => demo::run(arguments).await,
            Command::Call(arguments) => call::run(arguments).await,
            Command::Load(arguments) => load::run(arguments).await,
            Command::Model(arguments) => model::run(arguments).await,
            Command::Desk(arguments) => desk::run(arguments).await,
            Command::Init(arguments) => init::run(&arguments),
            Command::Check(arguments) => check::run(&arguments),
            Command::Doctor(arguments) => doctor::run(arguments).await,
            Command::Number(arguments) => number::run(arguments).await,
            Command::Dial(arguments) => dial::run(arguments).await,
            Command::Openapi(arguments) => openapi::run(&arguments),
            Command::Records(arguments) => records::run(arguments).await,
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(failure),
    }
}

/// Memory holds keys and what callers say: when the process dies, none of it goes into a file. What a system keeps cores with on its own is
/// handed the limit and minds it (core(5)).
fn leave_no_core() {
    let limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel reads the rlimit that is pointed to, and keeps nothing of it.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_CORE, &limit) };
    // To lower a limit is always allowed.
    debug_assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
}

fn report(failure: Failure) -> ExitCode {
    match failure {
        Failure::Configuration(message) => {
            eprintln!("aria: {message}");
            ExitCode::from(2)
        }
        Failure::Failed(error) => {
            eprintln!("aria: {error:#}");
            ExitCode::FAILURE
        }
        Failure::Shown => ExitCode::FAILURE,
    }
}

//! `aria init`: writes a commented configuration file.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use anyhow::Context;
use aria_bridge::config::TEMPLATE;

use super::Failure;

#[derive(clap::Args)]
pub struct Arguments {
    /// Where to.
    #[arg(long, env = "ARIA_CONFIG", default_value = "aria.toml")]
    config: PathBuf,
    /// Writes over a file that is there.
    #[arg(long)]
    force: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let path = &arguments.config;
    let mut options = OpenOptions::new();
    options.write(true);
    if arguments.force {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    let mut file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let message = format!("{} is there already; --force writes over it", path.display());
            return Err(Failure::Failed(anyhow::anyhow!(message)));
        }
        Err(error) => {
            return Err(Failure::Failed(anyhow::Error::new(error).context(format!("{}", path.display()))));
        }
    };
    file.write_all(TEMPLATE.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
    println!("{} is written. Secrets go into the environment; `aria check` validates both.", path.display());
    Ok(())
}

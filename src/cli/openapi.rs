//! `aria openapi`: prints the document of the API, which a running bridge answers with as well.

use std::io::Write;

use anyhow::Context;

use super::Failure;

#[derive(clap::Args)]
pub struct Arguments {}

pub fn run(_: &Arguments) -> Result<(), Failure> {
    writeln!(std::io::stdout().lock(), "{}", aria_bridge::http::document())
        .context("it cannot be written")?;
    Ok(())
}

//! One line each: what was looked at, how it is, and what to do about it.

use std::fmt::Display;

/// What was found so far. Each is printed as it comes: a look outside may take seconds.
#[derive(Debug, Default)]
pub struct Findings {
    problems: usize,
}

impl Findings {
    /// It is as it should be.
    pub fn good(&mut self, what: &str, how: impl Display) {
        println!("ok       {what}: {how}");
    }

    /// Calls work, but not as well as they could.
    pub fn note(&mut self, what: &str, how: impl Display, fix: impl Display) {
        println!("note     {what}: {how}\n         -> {fix}");
    }

    /// Calls will not work.
    pub fn problem(&mut self, what: &str, how: impl Display, fix: impl Display) {
        self.problems += 1;
        println!("PROBLEM  {what}: {how}\n         -> {fix}");
    }

    /// How many things calls will not work with.
    pub fn problems(&self) -> usize {
        self.problems
    }
}

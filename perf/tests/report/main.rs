//! A report as people and programs get it: printed, stored, compared and shown.

mod comparing;
mod page;
mod printing;
mod sample;
mod storing;

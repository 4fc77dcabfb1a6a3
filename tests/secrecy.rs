//! Nothing that must not be shown is shown, anywhere and at any log level: the real program with planted canaries, through whole calls and
//! through what goes wrong.

mod support;

#[path = "secrecy/canaries.rs"]
mod canaries;
#[path = "secrecy/peers.rs"]
mod peers;
#[path = "secrecy/personal.rs"]
mod personal;
#[path = "secrecy/secrets.rs"]
mod secrets;

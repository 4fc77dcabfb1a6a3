//! Twilio's side of the bridge under attack and fault, over real sockets. Tests are numbered after the rows of the fault list.

mod abuse;
mod calls;
mod framing;
mod host;
mod marks;
mod messages;
mod opening;
mod streams;
mod twilio;
mod webhooks;

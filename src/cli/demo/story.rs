//! What is said and done in the demo: the caller is looked up, interrupts a long answer, and gets an appointment.

use serde_json::json;
use sim::desk::Appointment;
use sim::model::{ModelScript, ToolCall};

/// The caller's part: a question, a long answer that is interrupted, an appointment.
pub const CALLER: &str = "
wait-speech
wait-silence 700ms
say something-wrong
wait-speech
wait-silence 900ms
say last-call
interrupt 2s lima
wait-silence 400ms
wait-speech
wait-silence 1500ms
say thank-you
wait-speech
wait-silence 800ms
hangup
";
/// Who calls, as the customer system knows him.
pub const CONTACT: &str = "Allison Smith";
const PHONE: &str = "+15551239999";
const DAY: &str = "2026-12-01";
const TIME: &str = "10:00";
const WHAT: &str = "A technician in Lima";

/// The model's part.
pub fn model() -> ModelScript {
    let mut script = ModelScript::default();
    let call = |name: &str, arguments| Some(ToolCall { name: name.into(), arguments });
    // She says the same as by default, once she knows who calls.
    let first = &mut script.turns[0];
    first.tool = call("find_contact", json!({ "phone": PHONE }));
    first.answer = first.reply.take();
    script.turns[2].tool =
        call("calendar_book", json!({ "phone": PHONE, "day": DAY, "time": TIME, "what": WHAT }));
    script
}

/// Whether this is the appointment that was asked for.
pub fn is_booked(appointment: &Appointment) -> bool {
    let Appointment { phone, day, time, what, .. } = appointment;
    (phone.as_str(), day.as_str(), time.as_str(), what.as_str()) == (PHONE, DAY, TIME, WHAT)
}

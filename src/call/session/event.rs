//! What happens to a call, and what is to be done about it.

use std::time::{Duration, Instant};

use super::playout::Unheard;
use crate::call::{CallEnd, CallEvent, Clip, Dialed, MediaEvent, Onward};
use crate::openai::wire::{ClientEvent, ServerEvent};

/// What happens to a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The model answered the offer.
    ModelAnswered,
    /// There will be no session: why.
    ModelFailed(CallEnd),
    /// The model's connection is gone.
    ModelLost,
    /// An event of the model.
    Model(ServerEvent),
    /// There will be no next session for now.
    NextFailed,
    /// The next session's connection is gone before it took over.
    NextLost,
    /// An event of the next session.
    Next(ServerEvent),
    /// The next session has taken over.
    Switched,
    /// The first sound of the caller went to the model.
    FirstFrameOut,
    /// Twilio's stream started.
    MediaStarted,
    /// An event of Twilio's stream.
    Media(MediaEvent),
    /// `clear` was written.
    Cleared {
        /// From the reason to the write.
        after: Duration,
        /// What the caller will not hear of what the model has sent, if that can be known.
        unheard: Option<Unheard>,
    },
    /// A tool answered or failed; `output` is for the model either way.
    ToolDone {
        /// The function call it answers.
        call_id: String,
        /// The tool.
        name: String,
        /// For the model.
        output: String,
        /// Whether it is a result rather than an error.
        ok: bool,
        /// How long it took.
        took: Duration,
        /// What the call itself is to do.
        effect: Option<Effect>,
    },
    /// Somebody wants something said in ARIA's voice.
    Say(String),
    /// Somebody puts the caller through.
    Transfer(Onward),
    /// Putting the caller through came to nothing: his stream is coming back.
    Returned(Dialed),
    /// Twilio, asked about a stream that is gone, is told to open another.
    Reopening,
    /// It is a machine that answered our call. `beep`: it records now.
    Machine {
        /// Whether the tone has been heard.
        beep: bool,
    },
    /// Somebody ends the call.
    End(CallEnd),
}

/// What a tool wants of the call itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Hang up once the goodbye has been heard.
    EndCall {
        /// What is said before; the model's own words if absent.
        farewell: Option<String>,
    },
    /// Put the caller through once he has been told.
    Transfer(Onward),
    /// Send a text message.
    SendMessage {
        /// E.164.
        to: String,
        /// The text.
        body: String,
    },
    /// Send keys down the line.
    PressKeys(String),
    /// Write something down.
    TakeNote(String),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Send an event to the model. Events are numbered from 1 in the order of these actions, those of [`Action::Switch`] included.
    Send(ClientEvent),
    /// The caller interrupts: flush the downlink and clear Twilio's queue; what is older than `generation` must not sound any more.
    Interrupt {
        /// Of the frames that may sound.
        generation: u32,
        /// When the reason arrived.
        since: Instant,
    },
    /// Nothing of the model's may sound on a new stream until [`Action::OpenDownlink`].
    Mute {
        /// Of the frames that may sound then.
        generation: u32,
    },
    /// The next reply may sound.
    OpenDownlink,
    /// Keep ARIA's sound back for now.
    Hold,
    /// Let it go on where it was.
    Resume,
    /// Play a recording to the caller.
    Play(Clip),
    /// Ask Twilio to tell when all before this was played.
    Mark(String),
    /// The model may hear the caller, or is not there to hear him: keep what he says.
    Listen(bool),
    /// Run a tool. The arguments are as the model wrote them.
    RunTool {
        /// The function call to answer.
        call_id: String,
        /// The tool.
        name: String,
        /// JSON text.
        arguments: String,
    },
    /// Ask for another session.
    Dial,
    /// Let the next session take over: tell it `items`, let its sound through as `generation`, close the old one.
    Switch {
        /// Of its frames.
        generation: u32,
        /// The conversation so far.
        items: Vec<ClientEvent>,
    },
    /// Look up a target by the name that a key stands for and put the caller through.
    TransferTo(String),
    /// Close the stream; Twilio then asks what to do and is told to put the caller through.
    Onward(Onward),
    /// Send a text message.
    Message {
        /// E.164.
        to: String,
        /// The text.
        body: String,
    },
    /// Send keys down the line.
    PressKeys(String),
    /// Tell the observers.
    Tell(CallEvent),
    /// The call is over; always the last action.
    End(CallEnd),
}

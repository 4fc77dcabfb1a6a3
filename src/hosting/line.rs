//! What the host needs of a call, and of what begins calls. The rest of the bridge stays out of sight, so that the host is tested
//! without it.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::broadcast;

use crate::call::{
    AttachError, Attached, CallEnd, CallEvent, CallHandle, Dialed, Inbound, Onward, Snapshot, Sound,
};
use crate::config::Settings;
use crate::twilio::wire::Start;

/// A call, as the host sees it.
pub trait Line: Send + Sync + 'static {
    /// Gives the call a media stream whose token was redeemed.
    fn attach(&self, start: Start) -> BoxFuture<'_, Result<Attached, AttachError>>;
    /// Ends the call; the first reason wins.
    fn end(&self, reason: CallEnd);
    /// Why it ended, if it has.
    fn is_ended(&self) -> Option<CallEnd>;
    /// Resolves when the call is over and has released what it held.
    fn ended(&self) -> BoxFuture<'_, CallEnd>;
    /// Has something said in ARIA's voice, as it is.
    fn say(&self, text: String);
    /// Puts the caller through, once what is being said has been heard.
    fn transfer(&self, onward: Onward);
    /// Where the caller is being put through to, if he is.
    fn onward(&self) -> Option<Onward>;
    /// The attempt to put the caller through is over.
    fn returned(&self, dialed: Dialed);
    /// Twilio was told to open another stream for it.
    fn reopening(&self);
    /// A machine answered our call. `beep`: it records now.
    fn machine_detected(&self, beep: bool);
    /// How it stands.
    fn snapshot(&self) -> Snapshot;
    /// What was counted of its sound up to this moment; `None` without a stream.
    fn sound(&self) -> Option<Sound> {
        None
    }
    /// What happens from now on.
    fn subscribe(&self) -> broadcast::Receiver<CallEvent>;
}

impl Line for CallHandle {
    fn attach(&self, start: Start) -> BoxFuture<'_, Result<Attached, AttachError>> {
        Box::pin(self.attach(start))
    }

    fn end(&self, reason: CallEnd) {
        self.end(reason);
    }

    fn is_ended(&self) -> Option<CallEnd> {
        self.is_ended()
    }

    fn ended(&self) -> BoxFuture<'_, CallEnd> {
        Box::pin(self.ended())
    }

    fn say(&self, text: String) {
        self.say(text);
    }

    fn transfer(&self, onward: Onward) {
        self.transfer(onward);
    }

    fn onward(&self) -> Option<Onward> {
        self.onward()
    }

    fn returned(&self, dialed: Dialed) {
        self.returned(dialed);
    }

    fn reopening(&self) {
        self.reopening();
    }

    fn machine_detected(&self, beep: bool) {
        self.machine_detected(beep);
    }

    fn snapshot(&self) -> Snapshot {
        self.snapshot()
    }

    fn sound(&self) -> Option<Sound> {
        self.sound()
    }

    fn subscribe(&self) -> broadcast::Receiver<CallEvent> {
        self.subscribe()
    }
}

/// Begins calls.
pub trait Switchboard: Send + Sync + 'static {
    /// Begins a call: the model's session is asked for at once. Must not wait; it is called with the registry locked.
    fn answer(&self, inbound: Inbound) -> Arc<dyn Line>;

    /// The settings in force, if they can change while the bridge runs.
    fn settings(&self) -> Option<Arc<Settings>> {
        None
    }

    /// Whether what calls need is there. `false` makes `/readyz` 503.
    fn ready(&self) -> bool {
        true
    }

    /// Whether what a call leaves behind can be kept. `false`: no call begins, and `/readyz` is 503.
    fn recording(&self) -> bool {
        true
    }

    /// How the audio threads stand, for `/metrics`.
    fn audio(&self) -> Vec<pipeline::WorkerLoad> {
        Vec::new()
    }
}

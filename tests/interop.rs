//! The leg to the model against foreign WebRTC stacks: aiortc, libwebrtc and the async `webrtc` crate as its own users write it.
//!
//! Each plays the model's peer for short calls over real UDP, with sound both ways and events on the data channel, and for one
//! that it ends itself. The first two are other programs; their packages are installed by `.ci/run`, or by hand:
//!
//! ```sh
//! python3 -m venv target/interop/venv && target/interop/venv/bin/pip install -r tests/interop/requirements.txt
//! mkdir -p target/interop/node && cp tests/interop/package*.json target/interop/node && npm ci --prefix target/interop/node
//! ```
//!
//! Where they are missing the test says so and passes, unless `ARIA_INTEROP=required` is set.

#[path = "interop/caller.rs"]
mod caller;
#[path = "interop/opus.rs"]
mod opus;
#[path = "interop/process.rs"]
mod process;
#[path = "interop/report.rs"]
mod report;
#[path = "interop/tone.rs"]
mod tone;
#[path = "interop/webrtc_model.rs"]
mod webrtc_model;

use pipeline::ModelCodec;
use process::Peer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_with_aiortc() {
    if let Some(peer) = Peer::aiortc().await {
        caller::hold_calls(&peer.url, ModelCodec::Pcmu).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_with_libwebrtc() {
    if let Some(peer) = Peer::libwebrtc().await {
        caller::hold_calls(&peer.url, ModelCodec::Pcmu).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_with_the_webrtc_crate() {
    // It knows Opus alone, so offering G.711 first must change nothing.
    let model = webrtc_model::Model::start().await;
    caller::hold_calls(&model.url, ModelCodec::Opus).await;
    model.stop().await;
}

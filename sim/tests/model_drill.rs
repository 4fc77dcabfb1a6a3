//! What a drill tells of its packets' way through a bad network is what a client sees of it.

mod model_client;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use model_client::{Client, session};
use sim::model::{Drill, DrillObserver, ModelConfig, ModelServer};
use sim::network::NetworkConfig;
use str0m::format::Codec;

/// Frames of the recording, 320 samples each: more than are said.
const FRAMES: usize = 1_000;
const PATH: Duration = Duration::from_millis(20);

#[derive(Default)]
struct Notebook {
    sent: Mutex<Vec<(usize, Instant)>>,
    left: Mutex<Vec<(usize, Instant)>>,
}

impl DrillObserver for Notebook {
    fn opened(&self, _session: u64, _at: Instant) {}

    fn sent(&self, _session: u64, frame: usize, _due: Instant, at: Instant) {
        self.sent.lock().unwrap().push((frame, at));
    }

    fn left(&self, _session: u64, frame: usize, at: Instant) {
        self.left.lock().unwrap().push((frame, at));
    }

    fn heard(&self, _session: u64, _samples: &[i16], _at: Instant) {}

    fn interrupted(&self, _session: u64, _frame: usize, _at: Instant) {}
}

#[tokio::test]
async fn each_frame_that_comes_through_is_told_with_the_time_it_came_out() {
    let notebook = Arc::new(Notebook::default());
    let network = NetworkConfig {
        delay: PATH,
        jitter: Duration::from_millis(30),
        loss: 0.1,
        duplicate: 0.1,
        ..NetworkConfig::default()
    };
    let drill = Drill {
        recording: vec![0; FRAMES * 320].into(),
        stride: 0,
        interrupt_every: None,
        observer: notebook.clone(),
    };
    let server = ModelServer::start(ModelConfig { drill: Some(drill), network, ..ModelConfig::default() })
        .expect("the server starts");
    let client = Client::call(&server.base_url(), &[Codec::PCMU], &session()).await;
    // Some 200 frames: in so many, some are lost and some doubled, whatever the seed.
    tokio::time::sleep(Duration::from_secs(4)).await;
    drop(server);

    let (sent, left) = (notebook.sent.lock().unwrap(), notebook.left.lock().unwrap());
    assert!(sent.len() > 100, "{} frames in four seconds", sent.len());
    for (frame, out) in left.iter() {
        let (_, into) = sent.iter().find(|(sent, _)| sent == frame).expect("it was sent first");
        assert!(*out >= *into + PATH, "frame {frame} was in the network for {:?}", *out - *into);
    }
    let mut first: Vec<usize> = left.iter().map(|(frame, _)| *frame).collect();
    let copies = first.len();
    first.dedup();
    assert!(first.len() < copies, "some come twice");
    let span = first.last().unwrap() + 1 - first[0];
    assert!(first.len() < span, "some are lost: all {span} came out");
    let rtp = &client.notes.lock().unwrap().rtp;
    assert!(rtp.len() > 50, "{} packets", rtp.len());
    for (packet, frame) in rtp.iter().zip(&first) {
        let behind = usize::from(packet.sequence.wrapping_sub(rtp[0].sequence));
        assert_eq!(behind, frame - first[0], "another frame than was told");
    }
}

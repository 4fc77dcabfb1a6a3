//! A TCP relay before the bridge: a path with a delay, jitter and stalls, in both directions. Order is kept, as TCP does.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Pieces on their way. A second of sound is 50.
const ON_THE_WAY: usize = 1_000;

/// How often it is looked whether this machine is on time.
const BEAT: Duration = Duration::from_millis(2);

/// When this machine was later than the path has it: what arrived then says nothing of the bridge.
#[derive(Debug, Clone)]
pub struct Late {
    tolerated: Duration,
    at: Arc<Mutex<Vec<Instant>>>,
}

impl Late {
    fn note(&self, due: Instant) {
        if due.elapsed() > self.tolerated {
            self.at.lock().expect("nobody panics with it").push(Instant::now());
        }
    }

    /// All of them so far, in order.
    pub fn moments(&self) -> Vec<Instant> {
        let mut moments = self.at.lock().expect("nobody panics with it").clone();
        moments.sort_unstable();
        moments
    }

    /// The runtime as a whole: what is read too late looks to the relay as if it had come later.
    async fn watch(self) {
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let due = beat.tick().await;
            self.note(due.into_std());
        }
    }
}

/// A path. Stalls are counted from the connection: when and for how long nothing arrives.
#[derive(Debug, Clone, Default)]
pub struct Path {
    /// One way.
    pub delay: Duration,
    /// Uniform, on top.
    pub jitter: Duration,
    /// From the bridge to the phone.
    pub stalls_down: Vec<(Duration, Duration)>,
    /// From the phone to the bridge.
    pub stalls_up: Vec<(Duration, Duration)>,
}

/// Relays every connection to `bridge` over `path`. Gives where it listens, and when it was later than `tolerated`. Ends with the runtime.
pub async fn start(bridge: SocketAddr, path: Path, tolerated: Duration) -> (SocketAddr, Late) {
    let late = Late { tolerated, at: Arc::default() };
    tokio::spawn(late.clone().watch());
    let noted = late.clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((phone, _)) = listener.accept().await {
            let Ok(bridge) = TcpStream::connect(bridge).await else { continue };
            phone.set_nodelay(true).expect("a plain socket");
            bridge.set_nodelay(true).expect("a plain socket");
            let ((phone_in, phone_out), (bridge_in, bridge_out)) = (phone.into_split(), bridge.into_split());
            tokio::spawn(carry(phone_in, bridge_out, path.clone(), path.stalls_up.clone(), late.clone()));
            tokio::spawn(carry(bridge_in, phone_out, path.clone(), path.stalls_down.clone(), late.clone()));
        }
    });
    (address, noted)
}

async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    path: Path,
    stalls: Vec<(Duration, Duration)>,
    late: Late,
) {
    let (sender, mut on_the_way) = mpsc::channel::<(Instant, Vec<u8>)>(ON_THE_WAY);
    let begun = Instant::now();
    tokio::spawn(async move {
        let mut rng = SmallRng::seed_from_u64(11);
        let (mut last, mut buffer) = (begun, [0; 4096]);
        while let Ok(n @ 1..) = from.read(&mut buffer).await {
            let jitter = path.jitter.mul_f64(rng.random::<f64>());
            let mut arrives = (Instant::now() + path.delay + jitter).max(last);
            for (at, lasting) in &stalls {
                if (begun + *at..begun + *at + *lasting).contains(&arrives) {
                    arrives = begun + *at + *lasting;
                }
            }
            last = arrives;
            if sender.send((arrives, buffer[..n].to_vec())).await.is_err() {
                return;
            }
        }
    });
    while let Some((arrives, bytes)) = on_the_way.recv().await {
        if arrives > Instant::now() {
            tokio::time::sleep_until(arrives.into()).await;
        }
        late.note(arrives);
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
    // The other side may be gone as well.
    let _ = to.shutdown().await;
}

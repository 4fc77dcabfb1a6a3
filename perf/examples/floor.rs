//! What moving the bytes costs, and nothing else: the system calls of so many calls, on one tokio thread.
//!
//! ```text
//! floor CALLS SECONDS
//! ```
//! Each call has a TCP connection (the phone: a media message of some 280 bytes each 20 ms each way) and a UDP socket (the model: an
//! SRTP packet of 182 bytes). What comes on one goes out on the other as it is: no WebSocket, no SRTP, no codec, no second thread. A second
//! process is the phones and the models. What this takes is the least that any bridge can that reads and writes a socket for a
//! frame; what the bridge takes more is its own.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)] // a tool: a failure ends it

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// A `media` message of 20 ms of mu-law with its WebSocket header, and an SRTP packet of it, bytes.
const MESSAGE: usize = 281;
const PACKET: usize = 182;
const FRAME: Duration = Duration::from_millis(20);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [calls, seconds] => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(bridge(calls.parse().unwrap(), seconds.parse().unwrap())),
        [port, calls, seconds] => {
            both_ends(port.parse().unwrap(), calls.parse().unwrap(), seconds.parse().unwrap());
        }
        _ => panic!("floor CALLS SECONDS"),
    }
}

async fn bridge(calls: u32, seconds: u64) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut ends = std::process::Command::new(std::env::current_exe().unwrap())
        .args([port.to_string(), calls.to_string(), (seconds + 2).to_string()])
        .spawn()
        .unwrap();
    for _ in 0..calls {
        let (mut phone, _) = listener.accept().await.unwrap();
        phone.set_nodelay(true).unwrap();
        let model = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let theirs = phone.read_u16().await.unwrap();
        model.connect(("127.0.0.1", theirs)).await.unwrap();
        phone.write_u16(model.local_addr().unwrap().port()).await.unwrap();
        let (mut from, mut to) = phone.into_split();
        let model = std::sync::Arc::new(model);
        let up = std::sync::Arc::clone(&model);
        tokio::spawn(async move {
            let mut bytes = [0; MESSAGE];
            while from.read_exact(&mut bytes).await.is_ok() && up.send(&bytes[..PACKET]).await.is_ok() {}
        });
        tokio::spawn(async move {
            let mut bytes = [0; MESSAGE];
            while model.recv(&mut bytes).await.is_ok() && to.write_all(&bytes).await.is_ok() {}
        });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (begun, used) = (Instant::now(), usage());
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let (took, after) = (begun.elapsed().as_secs_f64(), usage());
    let share = |from: f64, to: f64| 100.0 * (to - from) / took / f64::from(calls);
    println!(
        "{calls} calls: {:.3} % of a core a call ({:.3} in the kernel), {:.0} context switches a second",
        share(used.0 + used.1, after.0 + after.1),
        share(used.1, after.1),
        (after.2 - used.2) / took,
    );
    ends.wait().unwrap();
}

/// Phones and models: each speaks all the time, at a moment of its own within the frame, as those of different people do. Nothing here goes by a
/// timer of whole milliseconds, which would have them speak in groups and the bridge wake once for several.
fn both_ends(port: u16, calls: u32, seconds: u64) {
    let mut sockets = Vec::new();
    for _ in 0..calls {
        let model = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut phone = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        phone.set_nodelay(true).unwrap();
        phone.write_all(&model.local_addr().unwrap().port().to_be_bytes()).unwrap();
        let mut theirs = [0; 2];
        phone.read_exact(&mut theirs).unwrap();
        model.connect(("127.0.0.1", u16::from_be_bytes(theirs))).unwrap();
        phone.set_nonblocking(true).unwrap();
        model.set_nonblocking(true).unwrap();
        sockets.push((phone, model));
    }
    let heard = sockets.iter().map(|(phone, model)| (phone.try_clone().unwrap(), model.try_clone().unwrap()));
    let heard: Vec<_> = heard.collect();
    std::thread::spawn(move || hear(heard));
    // The golden ratio spreads any number of them evenly.
    let phase = |number: usize| FRAME.mul_f64(number as f64 * 0.618_034 % 1.0);
    let mut turns: Vec<(Duration, usize)> = (0..2 * sockets.len()).map(|turn| (phase(turn), turn)).collect();
    turns.sort_unstable();
    let begun = Instant::now();
    for frame in 0..(seconds * 50) as u32 {
        for (phase, turn) in &turns {
            std::thread::sleep((begun + FRAME * frame + *phase).saturating_duration_since(Instant::now()));
            let (phone, model) = &sockets[turn / 2];
            let mut phone = phone;
            let sent = if turn % 2 == 0 { phone.write(&[0; MESSAGE]) } else { model.send(&[0; PACKET]) };
            assert!(sent.unwrap() > 0, "the bridge is there");
        }
    }
}

/// Takes what comes back.
fn hear(sockets: Vec<(std::net::TcpStream, std::net::UdpSocket)>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for (phone, model) in sockets {
            let (mut phone, model) =
                (TcpStream::from_std(phone).unwrap(), UdpSocket::from_std(model).unwrap());
            tokio::spawn(async move {
                let (mut message, mut packet) = ([0; MESSAGE], [0; MESSAGE]);
                loop {
                    tokio::select! {
                        read = phone.read(&mut message) => if !read.is_ok_and(|n| n > 0) { return },
                        read = model.recv(&mut packet) => if read.is_err() { return },
                    }
                }
            });
        }
        std::future::pending::<()>().await;
    });
}

/// This process' time in user space and in the kernel, s, and its context switches.
fn usage() -> (f64, f64, f64) {
    // SAFETY: all of it is plain numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes a rusage to where the pointer says.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) };
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 * 1e-6;
    (seconds(usage.ru_utime), seconds(usage.ru_stime), (usage.ru_nvcsw + usage.ru_nivcsw) as f64)
}

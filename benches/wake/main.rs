//! Ways of waiting, measured: how late a thread wakes, and what the waking costs, on a quiet and on a busy machine.
//!
//! `cargo bench -p pipeline --bench wake` prints tables in Markdown. What a *worker* does with its calls is at the end: system calls and
//! CPU of the audio thread by pace and number of calls. Criterion measures means of loops; here it is the tail that counts.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)] // a bench waits and prints

mod load;
mod news;
mod timer;
mod worker;

use std::time::Duration;

use load::Load;

/// Milliseconds for each cell of the first two tables.
const CELL: Duration = Duration::from_millis(1_500);

fn main() {
    // `cargo test --benches` runs this with `--test`: one short round shows that it works.
    let cell = if std::env::args().any(|a| a == "--test") { Duration::from_millis(60) } else { CELL };
    for busy in [false, true] {
        let load = busy.then(Load::start);
        let machine = if busy { "one busy thread on each core" } else { "no load of ours" };
        println!("\n### News for a sleeping thread, {machine}\n");
        println!("| waits by | priority | p50 µs | p99 µs | CPU µs a wake |\n|---|---|---|---|---|");
        for real_time in [false, true] {
            for way in news::WAYS {
                news::measure(way, real_time, cell);
            }
        }
        println!("\n### A beat of 20 ms, {machine}\n");
        println!(
            "| waits by | priority | late p50 µs | late p99 µs | CPU µs a beat |\n|---|---|---|---|---|"
        );
        for real_time in [false, true] {
            for way in timer::WAYS {
                timer::measure(way, real_time, cell);
            }
        }
        drop(load);
    }
    println!("\n### A worker with calls, both ways, arrivals spread over 20 ms\n");
    println!(
        "| pace | codec | calls | wakes/s | wakes/s a call | CPU %/call | uplink age p50 / p99 | downlink late p50 / p99 |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    worker::measure_all(cell * 2);
}

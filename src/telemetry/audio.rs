//! What the audio road knows of itself, for Prometheus: how loaded each worker is now, and what became of the frames of all calls
//! that have ended.
//!
//! Kept and written here rather than through the `metrics` macros: these hash a name on every use, and their histograms keep each
//! value until somebody asks.

use std::fmt::{Display, Write};
use std::sync::LazyLock;
use std::time::Duration;

use pipeline::{AgeHistogram, CallStats, Counter, WorkerLoad};

/// Upper bounds of the histograms' buckets: from well below a frame to a call that is beyond use.
const BOUNDS: [Duration; 12] = [
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_secs(1),
];

type Reading<T> = (&'static str, &'static str, fn(&CallStats) -> &T);

/// Counters of a call, summed over all that have ended: name, meaning, where it is.
const COUNTED: [Reading<Counter>; 18] = [
    ("frames_in", "Media frames taken from callers.", |s| &s.frames_in),
    ("frames_out", "Media frames made for callers, 20 ms each.", |s| &s.frames_out),
    ("packets_in", "Packets taken from the model.", |s| &s.packets_in),
    ("packets_out", "Packets made for the model.", |s| &s.packets_out),
    ("concealed", "Lost packets that were replaced by concealment.", |s| &s.concealed),
    ("concealed_ms", "Milliseconds of sound made by concealment.", |s| &s.concealed_ms),
    ("fec", "Lost packets recovered from their successor.", |s| &s.fec),
    ("late", "Packets that came after their place had been played.", |s| &s.late),
    ("duplicate", "Packets and media frames that came twice.", |s| &s.duplicate),
    ("reordered", "Packets that came after a younger one and still in time.", |s| &s.reordered),
    ("muted", "Packets dropped because the caller had interrupted.", |s| &s.muted),
    ("dropped_full", "Frames and packets dropped because a queue was full.", |s| &s.dropped_full),
    ("decode_errors", "Packets that could not be decoded.", |s| &s.decode_errors),
    ("encode_errors", "Frames that the encoder refused.", |s| &s.encode_errors),
    ("uplink_gaps", "Gaps in callers' media time.", |s| &s.uplink_gaps),
    ("silence_filled", "Packets of silence in place of a line that had stopped.", |s| &s.silence_filled),
    ("grown_ns", "Nanoseconds of delay that jitter buffers added by waiting longer than planned.", |s| {
        &s.grown_ns
    }),
    ("shrunk_ns", "Nanoseconds of delay that jitter buffers took back.", |s| &s.shrunk_ns),
];

/// Histograms of a call, merged likewise.
const MEASURED: [Reading<AgeHistogram>; 3] = [
    ("uplink_age", "From a media frame's arrival to its packet leaving the audio thread.", |s| &s.uplink_age),
    ("downlink_age", "From the moment a frame was due to it leaving the audio thread.", |s| &s.downlink_age),
    ("buffered", "From a packet's arrival to its frame leaving: what the jitter buffer adds.", |s| {
        &s.buffered
    }),
];

static ENDED: LazyLock<Ended> = LazyLock::new(Ended::default);

#[derive(Default)]
struct Ended {
    all: CallStats,
    sent: AgeHistogram,
    written: AgeHistogram,
}

impl Ended {
    fn add(&self, call: &CallStats, sent: &AgeHistogram, written: &AgeHistogram) {
        for (_, _, of) in COUNTED {
            of(&self.all).add(of(call).get());
        }
        for (_, _, of) in MEASURED {
            of(&self.all).merge(of(call));
        }
        self.sent.merge(sent);
        self.written.merge(written);
    }

    fn render(&self, text: &mut String) {
        for (name, meaning, of) in COUNTED {
            family(text, &format!("audio_{name}_total"), "counter", meaning);
            line(text, &format!("audio_{name}_total"), "", of(&self.all).get());
        }
        for (name, meaning, of) in MEASURED {
            histogram(text, &format!("audio_{name}_seconds"), meaning, of(&self.all));
        }
        let sent = "From a caller's frame read off the socket to its datagram sent.";
        histogram(text, "uplink_delay_seconds", sent, &self.sent);
        let written = "From the moment a frame was due to Twilio's message written.";
        histogram(text, "downlink_delay_seconds", written, &self.written);
    }
}

/// A call has ended: adds what became of its sound. `sent` and `written` are the delays as the sockets saw them.
pub fn ended(call: &CallStats, sent: &AgeHistogram, written: &AgeHistogram) {
    ENDED.add(call, sent, written);
}

/// All of it in Prometheus' text format.
pub fn render(workers: &[WorkerLoad]) -> String {
    let mut text = String::new();
    load(&mut text, workers);
    ENDED.render(&mut text);
    text
}

type Gauge = fn(&WorkerLoad) -> f64;

/// Figures of a worker: name, kind, meaning, value.
const LOADS: [(&str, &str, &str, Gauge); 9] = [
    ("calls", "gauge", "Calls on the worker.", |w| w.calls as f64),
    ("capacity", "gauge", "Calls that the worker takes.", |w| w.capacity as f64),
    ("busy_seconds_total", "counter", "Time spent serving; its rate is the share of the core.", |w| {
        w.busy.as_secs_f64()
    }),
    ("steps_total", "counter", "Steps made.", |w| w.steps as f64),
    ("utilisation", "gauge", "Share of the last second that the worker worked.", |w| w.utilisation),
    ("step_p99_seconds", "gauge", "How long a step takes, 99th percentile.", |w| w.step.1.as_secs_f64()),
    ("panics_total", "counter", "Calls that ended by a panic in them.", |w| w.panics as f64),
    ("lateness_p50_seconds", "gauge", "How late due calls were served, median since the start.", |w| {
        w.lateness.0.as_secs_f64()
    }),
    ("lateness_p99_seconds", "gauge", "The same, 99th percentile.", |w| w.lateness.1.as_secs_f64()),
];

fn load(text: &mut String, workers: &[WorkerLoad]) {
    for (name, kind, meaning, of) in LOADS {
        let name = format!("audio_worker_{name}");
        family(text, &name, kind, meaning);
        for (number, worker) in workers.iter().enumerate() {
            line(text, &name, &format!("{{worker=\"{number}\"}}"), of(worker));
        }
    }
}

fn histogram(text: &mut String, name: &str, meaning: &str, ages: &AgeHistogram) {
    family(text, name, "histogram", meaning);
    for bound in BOUNDS {
        let label = format!("{{le=\"{}\"}}", bound.as_secs_f64());
        line(text, &format!("{name}_bucket"), &label, ages.at_most(bound));
    }
    let count = ages.at_most(Duration::MAX);
    line(text, &format!("{name}_bucket"), "{le=\"+Inf\"}", count);
    line(text, &format!("{name}_sum"), "", ages.mean().as_secs_f64() * count as f64);
    line(text, &format!("{name}_count"), "", count);
}

fn family(text: &mut String, name: &str, kind: &str, meaning: &str) {
    let _ = writeln!(text, "# HELP aria_{name} {meaning}\n# TYPE aria_{name} {kind}");
}

fn line(text: &mut String, name: &str, labels: &str, value: impl Display) {
    let _ = writeln!(text, "aria_{name}{labels} {value}");
}

#[cfg(test)]
mod tests {
    use pipeline::{Memory, Priority};

    use super::*;

    #[test]
    fn a_worker_shows_how_loaded_it_is() {
        let worker = WorkerLoad {
            core: Some(1),
            priority: Priority::Normal,
            memory: Memory::Pageable,
            calls: 3,
            capacity: 256,
            busy: Duration::from_millis(1_500),
            steps: 7,
            utilisation: 0.25,
            step: (Duration::from_micros(40), Duration::from_micros(300)),
            panics: 1,
            lateness: (Duration::from_micros(80), Duration::from_millis(2)),
        };
        let mut text = String::new();
        load(&mut text, &[worker.clone(), worker]);
        for expected in [
            "# TYPE aria_audio_worker_busy_seconds_total counter",
            "aria_audio_worker_calls{worker=\"0\"} 3",
            "aria_audio_worker_capacity{worker=\"1\"} 256",
            "aria_audio_worker_busy_seconds_total{worker=\"1\"} 1.5",
            "aria_audio_worker_utilisation{worker=\"0\"} 0.25",
            "aria_audio_worker_panics_total{worker=\"0\"} 1",
            "aria_audio_worker_lateness_p99_seconds{worker=\"0\"} 0.002",
        ] {
            assert!(text.lines().any(|line| line == expected), "{expected}\n{text}");
        }
    }

    #[test]
    fn ended_calls_add_up() {
        let ended = Ended::default();
        let (call, sent) = (CallStats::default(), AgeHistogram::new());
        call.frames_in.add(50);
        call.late.add(2);
        call.buffered.record(Duration::from_millis(3));
        sent.record(Duration::from_micros(180));
        sent.record(Duration::from_secs(2));
        for _ in 0..2 {
            ended.add(&call, &sent, &AgeHistogram::new());
        }
        let mut text = String::new();
        ended.render(&mut text);
        for expected in [
            "aria_audio_frames_in_total 100",
            "aria_audio_late_total 4",
            "aria_audio_concealed_total 0",
            "aria_audio_buffered_seconds_bucket{le=\"0.0025\"} 0",
            "aria_audio_buffered_seconds_bucket{le=\"0.005\"} 2",
            "aria_uplink_delay_seconds_bucket{le=\"0.0001\"} 0",
            "aria_uplink_delay_seconds_bucket{le=\"0.00025\"} 2",
            "aria_uplink_delay_seconds_bucket{le=\"1\"} 2",
            "aria_uplink_delay_seconds_bucket{le=\"+Inf\"} 4",
            "aria_uplink_delay_seconds_count 4",
            "aria_downlink_delay_seconds_count 0",
        ] {
            assert!(text.lines().any(|line| line == expected), "{expected}\n{text}");
        }
    }
}

//! The journal's writer: a thread of its own, because a disk makes its caller wait.
//!
//! Whatever waits in the queue is written and synced together. What a record's sync has confirmed is *acknowledged*: it will reach the
//! database whatever happens to the process or the power. After a failed write or sync the file is never touched again: what was not
//! confirmed is written once more to a new one, under the same numbers, so that a copy that survived in the old one is passed over.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::disk::{Append, Disk};
use super::frame;
use super::record::Record;
use super::segments::{Segment, Segments};

/// Records waiting for the disk. 200 calls write some 200 a second, so this bears a disk that is full for five minutes.
const QUEUE_RECORDS: usize = 65_536;
/// The same in bytes: tools may say much.
const QUEUE_BYTES: usize = 64 * 1024 * 1024;
/// Written and synced at once, bytes. More only delays the first of them.
const GROUP_BYTES: usize = 256 * 1024;
/// A segment is closed beyond this: it can be removed only whole, and is read whole at start.
const SEGMENT_BYTES: u64 = 4 * 1024 * 1024;
/// A segment is closed when its first record is this old: what was said must not stay in it for weeks on a quiet line.
const SEGMENT_AGE: Duration = Duration::from_secs(600);
/// How often a journal that refuses is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// Tries to write the rest when the bridge ends.
const LAST_TRIES: u32 = 4;

struct Entry {
    record: Record,
    weight: usize,
    durable: Option<oneshot::Sender<()>>,
}

/// The way into the journal. Dropped, the writer writes what waits and ends.
#[derive(Debug)]
pub struct Journal {
    /// Boxed: the queue has all of its places from the start, and few of them are ever taken.
    queue: SyncSender<Box<Entry>>,
    gauge: Arc<Gauge>,
}

#[derive(Debug)]
struct Gauge {
    healthy: AtomicBool,
    /// Nothing more will come: what cannot be written soon never will be.
    closing: AtomicBool,
    bytes: AtomicUsize,
}

/// The writer of a journal's `segments`, at most `max_bytes` of them. The thread ends when the [`Journal`] is dropped; `keep` lives as
/// long as it does.
pub fn start(
    segments: Arc<Segments>,
    disk: Arc<dyn Disk>,
    max_bytes: u64,
    keep: impl Send + 'static,
) -> io::Result<(Journal, std::thread::JoinHandle<()>)> {
    let (queue, entries) = sync_channel(QUEUE_RECORDS);
    let gauge = Arc::new(Gauge {
        healthy: AtomicBool::new(true),
        closing: AtomicBool::new(false),
        bytes: AtomicUsize::new(0),
    });
    metrics::gauge!("aria_journal_healthy").set(1.0);
    let next = segments.next_number();
    let mut writer = Writer {
        gauge: Arc::clone(&gauge),
        segments,
        disk,
        max_bytes,
        file: None,
        batch: Vec::new(),
        waiting: Vec::new(),
        next,
    };
    // A first segment of our own shows at once whether the folder can be written to.
    writer.commit()?;
    let thread = std::thread::Builder::new().name("journal".into()).spawn(move || {
        writer.run(&entries);
        drop(keep);
    })?;
    Ok((Journal { queue, gauge }, thread))
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.gauge.closing.store(true, Ordering::Relaxed);
    }
}

impl Journal {
    /// Hands a record over. Never waits: if the queue is full the record is lost, counted, and the journal unhealthy.
    pub fn record(&self, record: Record, durable: Option<oneshot::Sender<()>>) {
        let weight = record.weight();
        let room = self.gauge.bytes.fetch_add(weight, Ordering::Relaxed) + weight <= QUEUE_BYTES;
        let entry = Box::new(Entry { record, weight, durable });
        let sent = match room {
            true => self.queue.try_send(entry),
            false => Err(TrySendError::Full(entry)),
        };
        if sent.is_err() {
            self.gauge.bytes.fetch_sub(weight, Ordering::Relaxed);
            metrics::counter!("aria_records_lost_total").increment(1);
            if self.gauge.healthy.swap(false, Ordering::Relaxed) {
                tracing::error!("the journal's queue is full: records are lost and no call is admitted");
            }
        }
    }

    /// Whether records are safe: no call should begin otherwise.
    pub fn healthy(&self) -> bool {
        self.gauge.healthy.load(Ordering::Relaxed)
    }
}

struct Open {
    name: u64,
    append: Box<dyn Append>,
    bytes: u64,
    since: Instant,
    /// No record was written to it.
    empty: bool,
    published: bool,
}

struct Writer {
    gauge: Arc<Gauge>,
    segments: Arc<Segments>,
    disk: Arc<dyn Disk>,
    max_bytes: u64,
    file: Option<Open>,
    /// Frames that are not confirmed yet.
    batch: Vec<u8>,
    waiting: Vec<oneshot::Sender<()>>,
    next: u64,
}

impl Writer {
    fn run(mut self, entries: &Receiver<Box<Entry>>) {
        loop {
            if self.batch.is_empty() {
                match entries.recv_timeout(SEGMENT_AGE / 10) {
                    Ok(entry) => self.take(entry),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
            while self.batch.len() < GROUP_BYTES
                && let Ok(entry) = entries.try_recv()
            {
                self.take(entry);
            }
            let mut last_tries = 0;
            while let Err(error) = self.commit() {
                self.refuse(&error);
                if self.gauge.closing.load(Ordering::Relaxed) {
                    last_tries += 1;
                    if last_tries == LAST_TRIES {
                        tracing::error!(
                            bytes = self.batch.len(),
                            "records are lost: the journal refuses them"
                        );
                        return;
                    }
                }
                std::thread::sleep(RETRY);
            }
        }
    }

    fn take(&mut self, entry: Box<Entry>) {
        self.gauge.bytes.fetch_sub(entry.weight, Ordering::Relaxed);
        match frame::push(&mut self.batch, self.next, &entry.record) {
            Ok(()) => {
                self.next += 1;
                self.waiting.extend(entry.durable);
            }
            Err(error) => {
                metrics::counter!("aria_records_lost_total").increment(1);
                tracing::error!(call = entry.record.sid(), %error, "a record is lost");
            }
        }
    }

    /// Makes the batch durable, in a new segment if the current one is full, old or broken.
    fn commit(&mut self) -> io::Result<()> {
        if self.file.as_ref().is_some_and(Open::is_done) {
            self.file = None;
        }
        if self.file.is_some() && self.batch.is_empty() {
            return Ok(());
        }
        if self.segments.total_bytes() + self.batch.len() as u64 > self.max_bytes {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "the journal has its largest size"));
        }
        // Taken out: whatever fails below, this file is not used again.
        let mut file = match self.file.take() {
            Some(file) => file,
            None => self.open()?,
        };
        let written = file.append.append(&self.batch).and_then(|()| file.append.sync());
        if let Err(error) = written {
            if !file.published {
                // A disk that is full must not fill up with tries. What is left over all the same does no harm.
                let _ = fs::remove_file(self.segments.path(file.name));
            }
            return Err(error);
        }
        file.published = true;
        file.empty &= self.batch.is_empty();
        file.bytes += self.batch.len() as u64;
        self.segments.published(Segment { name: file.name, bytes: file.bytes }, self.next);
        self.file = Some(file);
        self.batch.clear();
        for durable in self.waiting.drain(..) {
            // Whoever asked may have stopped waiting.
            let _ = durable.send(());
        }
        if !self.gauge.healthy.swap(true, Ordering::Relaxed) {
            metrics::gauge!("aria_journal_healthy").set(1.0);
            tracing::warn!("the journal takes records again");
        }
        Ok(())
    }

    fn open(&mut self) -> io::Result<Open> {
        let first = frame::parse(&self.batch).map_or(self.next, |frame| frame.number);
        let mut name = self.segments.next_name();
        let mut append = loop {
            match self.disk.create(&self.segments.path(name)) {
                // Left behind by a try that failed.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => name += 1,
                file => break file?,
            }
        };
        let header = append.append(&frame::header(first)).and_then(|()| append.sync());
        if let Err(error) = header.and_then(|()| self.disk.sync_folder(self.segments.folder())) {
            let _ = fs::remove_file(self.segments.path(name));
            return Err(error);
        }
        let bytes = frame::HEADER_BYTES as u64;
        Ok(Open { name, append, bytes, since: Instant::now(), empty: true, published: false })
    }

    fn refuse(&self, error: &io::Error) {
        metrics::counter!("aria_journal_errors_total").increment(1);
        metrics::gauge!("aria_journal_healthy").set(0.0);
        if self.gauge.healthy.swap(false, Ordering::Relaxed) {
            tracing::error!(%error, "the journal cannot be written: no call is admitted until it can");
        }
    }
}

impl Open {
    fn is_done(&self) -> bool {
        self.bytes >= SEGMENT_BYTES || (!self.empty && self.since.elapsed() >= SEGMENT_AGE)
    }
}

#[cfg(test)]
mod tests;

//! The journal's files: found at start, read by whoever brings records into the database, removed when all of theirs are there.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use tokio::sync::Notify;

use super::frame::{self, HEADER_BYTES};
use super::record::Record;

/// Bytes read at once. Above the largest frame, or that one could never be read.
const READ_BYTES: usize = frame::MAX_RECORD_BYTES + 64 * 1024;

/// One file of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Its name: they count up and are never used twice.
    pub name: u64,
    /// What of it will outlast a power cut, bytes. What lies behind is not to be read.
    pub bytes: u64,
}

/// Where reading stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    name: u64,
    offset: u64,
}

/// A record and its number in the journal.
pub type Numbered = (u64, Record);

#[derive(Debug, Default)]
struct State {
    segments: VecDeque<Segment>,
    /// The number of the next record.
    next: u64,
}

/// All segments of a slot. The writer adds to the last, a reader takes from the first.
#[derive(Debug)]
pub struct Segments {
    folder: PathBuf,
    state: Mutex<State>,
    grown: Notify,
}

/// What was found at start.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Whole records.
    pub records: u64,
    /// Bytes that were cut off because no whole record began there.
    pub torn_bytes: u64,
}

impl Segments {
    /// Reads what is in `folder` and cuts off what was being written when the process or the power went.
    pub fn recover(folder: &Path) -> io::Result<(Self, Found)> {
        let mut names: Vec<u64> = Vec::new();
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name();
            names.extend(
                name.to_str().and_then(|n| n.strip_suffix(".journal")).and_then(|n| n.parse::<u64>().ok()),
            );
        }
        names.sort_unstable();
        let (mut state, mut found) = (State { next: 1, ..State::default() }, Found::default());
        for name in names {
            let path = path(folder, name);
            let bytes = fs::read(&path)?;
            let (whole, records) = walk(&bytes, &mut state.next);
            if whole == 0 {
                // It was being made. The one before it is there, or it was the first.
                found.torn_bytes += bytes.len() as u64;
                fs::remove_file(&path)?;
                continue;
            }
            found.records += records;
            found.torn_bytes += (bytes.len() - whole) as u64;
            if whole < bytes.len() {
                let file = OpenOptions::new().write(true).open(&path)?;
                file.set_len(whole as u64)?;
                file.sync_all()?;
            }
            state.segments.push_back(Segment { name, bytes: whole as u64 });
        }
        let segments = Self { folder: folder.into(), state: Mutex::new(state), grown: Notify::new() };
        Ok((segments, found))
    }

    /// The number of the next record.
    pub fn next_number(&self) -> u64 {
        self.lock().next
    }

    /// The name for another segment.
    pub fn next_name(&self) -> u64 {
        self.lock().segments.back().map_or(1, |s| s.name + 1)
    }

    /// Where a segment of this name lies.
    pub fn path(&self, name: u64) -> PathBuf {
        path(&self.folder, name)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Bytes of all segments.
    pub fn total_bytes(&self) -> u64 {
        self.lock().segments.iter().map(|s| s.bytes).sum()
    }

    /// The writer has made `segment` durable up to its `bytes`, and all records before number `next`.
    pub fn published(&self, segment: Segment, next: u64) {
        let mut state = self.lock();
        match state.segments.back_mut() {
            Some(last) if last.name == segment.name => *last = segment,
            _ => state.segments.push_back(segment),
        }
        state.next = state.next.max(next);
        drop(state);
        self.grown.notify_one();
    }

    /// Resolves when something was published since the last wait.
    pub async fn grown(&self) {
        self.grown.notified().await;
    }

    /// Up to `limit` records from `place` on, and the place behind them. Empty: there are no more for now.
    pub fn read(&self, place: Place, limit: usize) -> io::Result<(Vec<Numbered>, Place)> {
        let mut place = place;
        let mut records = Vec::new();
        for segment in self.lock().segments.clone() {
            if segment.name < place.name {
                continue;
            }
            if segment.name > place.name || place.offset == 0 {
                place = Place { name: segment.name, offset: HEADER_BYTES as u64 };
            }
            if place.offset < segment.bytes {
                self.read_segment(segment, &mut place, &mut records, limit)?;
                break;
            }
        }
        Ok((records, place))
    }

    fn read_segment(
        &self,
        segment: Segment,
        place: &mut Place,
        records: &mut Vec<Numbered>,
        limit: usize,
    ) -> io::Result<()> {
        let mut bytes = vec![0; READ_BYTES.min((segment.bytes - place.offset) as usize)];
        File::open(self.path(segment.name))?.read_exact_at(&mut bytes, place.offset)?;
        let mut rest = &bytes[..];
        while records.len() < limit
            && let Some(frame) = frame::parse(rest)
        {
            match serde_json::from_slice(frame.json) {
                Ok(record) => records.push((frame.number, record)),
                // Of a newer bridge, before a step back to this one.
                Err(error) => {
                    tracing::error!(number = frame.number, %error, "a record of the journal is not understood")
                }
            }
            place.offset += frame.bytes as u64;
            rest = &rest[frame.bytes..];
        }
        if rest.len() == bytes.len() {
            // It was sound when it was written and when the bridge started.
            metrics::counter!("aria_journal_damaged_bytes_total").increment(rest.len() as u64);
            tracing::error!(
                bytes = segment.bytes - place.offset,
                "a part of the journal has become unreadable"
            );
            place.offset = segment.bytes;
        }
        Ok(())
    }

    /// Removes the segments before `place`: all of theirs is in the database. The newest stays, because the numbers go on from it.
    pub fn forget(&self, place: Place) -> io::Result<()> {
        loop {
            let mut state = self.lock();
            let Some(first) = state.segments.front().copied() else { return Ok(()) };
            let read = first.name < place.name || (first.name == place.name && place.offset >= first.bytes);
            if state.segments.len() == 1 || !read {
                return Ok(());
            }
            // Removed from the list first: a file that is left over is read again at the next start, which does no harm.
            state.segments.pop_front();
            drop(state);
            fs::remove_file(self.path(first.name))?;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }
}

fn path(folder: &Path, name: u64) -> PathBuf {
    folder.join(format!("{name:010}.journal"))
}

/// How far a segment can be read, and how many records that is. `next` becomes what follows its last record.
fn walk(bytes: &[u8], next: &mut u64) -> (usize, u64) {
    let Some(first) = frame::parse_header(bytes) else { return (0, 0) };
    *next = first.max(*next);
    let (mut whole, mut records) = (HEADER_BYTES, 0);
    while let Some(frame) = frame::parse(&bytes[whole..]) {
        *next = (frame.number + 1).max(*next);
        whole += frame.bytes;
        records += 1;
    }
    (whole, records)
}

#[cfg(test)]
mod tests;

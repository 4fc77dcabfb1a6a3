//! Where sound waits until its call is over: one file a call, both sides in it, written by one thread.
//!
//! ```text
//! header │ second 0: caller, ARIA │ second 1: caller, ARIA │ …
//! ```
//! Each piece goes to its place, so what was never written is a hole and reads as zero. Mu-law is stored with all bits turned, for then
//! zero is silence. A file is locked while it is written: whoever can lock one has found a call that is over, its own or that of a
//! bridge that was killed.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossbeam::channel::{Receiver, Sender};
use pipeline::{MediaEncoding, MediaFormat, SampleRate};

/// The ending of a file's name.
pub(super) const ENDING: &str = "spool";
/// Pieces waiting for the disk: at two a second and call, 20 s of a hundred calls.
pub(super) const QUEUE: usize = 4_096;
const HEADER: u64 = 16;
const MAGIC: [u8; 8] = *b"ARIAtape";

/// Whose sound it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Caller,
    Aria,
}

/// What the thread is to do.
pub(super) enum Job {
    /// Sound of one side, to be written at this sample.
    Write { file: Arc<SpoolFile>, side: Side, at: u64, bytes: Vec<u8> },
    /// The call is over.
    Finish { file: Arc<SpoolFile> },
}

/// One call's file.
#[derive(Debug)]
pub(super) struct SpoolFile {
    pub path: PathBuf,
    pub format: MediaFormat,
    file: File,
}

impl SpoolFile {
    /// A new file for the call `name`. An error if there is one already.
    pub fn create(folder: &Path, name: &str, format: MediaFormat) -> io::Result<Self> {
        let path = folder.join(name).with_extension(ENDING);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        file.try_lock().map_err(io::Error::from)?;
        let mut header = [0; HEADER as usize];
        header[..8].copy_from_slice(&MAGIC);
        header[8..12].copy_from_slice(&format.rate.hz().to_le_bytes());
        header[12] = format.encoding.bytes_per_sample() as u8;
        file.write_all_at(&header, 0)?;
        Ok(Self { path, format, file })
    }

    /// The file at `path`, if nobody writes to it.
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Ok(None),
            Err(std::fs::TryLockError::Error(error)) => return Err(error),
        }
        let mut header = [0; HEADER as usize];
        file.read_exact_at(&mut header, 0)?;
        let hz = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
        let encoding = match header[12] {
            1 => MediaEncoding::Mulaw,
            _ => MediaEncoding::L16,
        };
        let rate = SampleRate::from_hz(hz).filter(|_| header[..8] == MAGIC);
        let rate = rate.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not a recording"))?;
        Ok(Some(Self { path: path.into(), format: MediaFormat { encoding, rate }, file }))
    }

    /// Bytes of one side's second.
    fn second(&self) -> u64 {
        (self.format.rate.hz() as usize * self.format.encoding.bytes_per_sample()) as u64
    }

    fn write(&self, side: Side, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        turn(self.format.encoding, bytes);
        let second = self.second();
        let mut at = at * self.format.encoding.bytes_per_sample() as u64;
        let mut rest = &*bytes;
        while !rest.is_empty() {
            let within = at % second;
            let length = rest.len().min((second - within) as usize);
            let behind = if side == Side::Aria { second } else { 0 };
            self.file.write_all_at(&rest[..length], HEADER + at / second * 2 * second + behind + within)?;
            at += length as u64;
            rest = &rest[length..];
        }
        Ok(())
    }

    /// Both sides of second `n` as they came from the wire, caller first; shorter ones are silent behind their end. `None` behind the
    /// last one.
    pub fn read(&self, n: u64) -> io::Result<Option<[Vec<u8>; 2]>> {
        let second = self.second();
        let from = HEADER + n * 2 * second;
        let length = self.file.metadata()?.len().saturating_sub(from);
        if length == 0 {
            return Ok(None);
        }
        // Where a side ends within the last second is not known apart from the file's end.
        let used = if length > second { second } else { length };
        let side = |behind: u64| {
            let mut bytes = vec![0; used as usize];
            let there = length.saturating_sub(behind).min(used) as usize;
            self.file.read_exact_at(&mut bytes[..there], from + behind)?;
            turn(self.format.encoding, &mut bytes);
            Ok::<_, io::Error>(bytes)
        };
        Ok(Some([side(0)?, side(second)?]))
    }
}

fn turn(encoding: MediaEncoding, bytes: &mut [u8]) {
    if encoding == MediaEncoding::Mulaw {
        bytes.iter_mut().for_each(|byte| *byte = !*byte);
    }
}

/// Writes until nobody can send any more.
pub(super) fn run(jobs: &Receiver<Job>, over: &Sender<PathBuf>) {
    for job in jobs {
        match job {
            Job::Write { file, side, at, mut bytes } => {
                if let Err(error) = file.write(side, at, &mut bytes) {
                    metrics::counter!("aria_recording_pieces_lost_total").increment(1);
                    tracing::error!(%error, "sound could not be recorded");
                }
            }
            Job::Finish { file } => {
                let path = file.path.clone();
                // Gives the lock up, unless somebody still writes.
                drop(file);
                let _ = over.try_send(path);
            }
        }
    }
}

/// The files in `folder` that nobody has finished.
pub(super) fn left(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)?;
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    Ok(paths.filter(|path| path.extension().is_some_and(|ending| ending == ENDING)).collect())
}

/// Bytes on the disk that the files in `folder` take.
pub(super) fn size(folder: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    // Holes take none; blocks are of 512 bytes whatever the file system's.
    let blocks =
        left(folder)?.iter().filter_map(|path| path.metadata().ok()).map(|m| m.blocks()).sum::<u64>();
    Ok(blocks * 512)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("aria-spool-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn each_side_has_its_place_and_holes_are_silent() {
        let folder = folder("places");
        let file = SpoolFile::create(&folder, "CA1", MediaFormat::default()).unwrap();
        // Across the border of a second; the caller's second 0 and ARIA's second 1 stay empty.
        file.write(Side::Aria, 7_900, &mut [0x11; 100]).unwrap();
        file.write(Side::Caller, 15_900, &mut [0x22; 200]).unwrap();
        let [caller, aria] = file.read(0).unwrap().unwrap();
        assert_eq!((caller.len(), aria.len()), (8_000, 8_000));
        assert!(caller.iter().all(|b| *b == 0xff) && aria[..7_900].iter().all(|b| *b == 0xff));
        assert!(aria[7_900..].iter().all(|b| *b == 0x11));
        let [caller, aria] = file.read(1).unwrap().unwrap();
        assert!(caller[7_900..].iter().all(|b| *b == 0x22) && aria.iter().all(|b| *b == 0xff));
        let [caller, _] = file.read(2).unwrap().unwrap();
        assert_eq!(caller, [0x22; 100]);
        assert!(file.read(3).unwrap().is_none());
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_in_use_is_left_alone_and_one_that_is_not_ours_refused() {
        let folder = folder("locks");
        let file = SpoolFile::create(&folder, "CA1", MediaFormat::default()).unwrap();
        let path = file.path.clone();
        assert!(SpoolFile::create(&folder, "CA1", MediaFormat::default()).is_err());
        assert!(SpoolFile::open(&path).unwrap().is_none());
        drop(file);
        assert_eq!(SpoolFile::open(&path).unwrap().unwrap().format, MediaFormat::default());
        assert_eq!(left(&folder).unwrap(), std::slice::from_ref(&path));
        std::fs::write(&path, [7; 100]).unwrap();
        assert_eq!(SpoolFile::open(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
        std::fs::remove_dir_all(folder).unwrap();
    }
}

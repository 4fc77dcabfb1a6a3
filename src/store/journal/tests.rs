use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::AtomicU32;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::store::disk::System;
use crate::store::segments::Place;

/// A disk that fails when it is told to, and that knows what would outlast a power cut.
#[derive(Default)]
struct Faulty {
    full: AtomicBool,
    unsynced: AtomicBool,
    created: AtomicU32,
    /// By path: bytes that were synced.
    synced: Arc<Mutex<HashMap<PathBuf, u64>>>,
    /// Files whose names were synced with their folder.
    named: Arc<Mutex<HashSet<PathBuf>>>,
    this: Mutex<Option<Arc<Faulty>>>,
}

struct FaultyFile {
    file: Box<dyn Append>,
    path: PathBuf,
    bytes: u64,
    disk: Arc<Faulty>,
}

impl Faulty {
    fn new() -> Arc<Self> {
        let disk = Arc::new(Self::default());
        *disk.this.lock().unwrap() = Some(Arc::clone(&disk));
        disk
    }
}

impl Disk for Faulty {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Append>> {
        self.created.fetch_add(1, Ordering::Relaxed);
        let disk = self.this.lock().unwrap().clone().unwrap();
        Ok(Box::new(FaultyFile { file: System.create(path)?, path: path.into(), bytes: 0, disk }))
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let names = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
        self.named.lock().unwrap().extend(names.collect::<io::Result<Vec<_>>>()?);
        System.sync_folder(folder)
    }
}

impl Append for FaultyFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.disk.full.load(Ordering::Relaxed) {
            // As much as there was room for.
            self.file.append(&bytes[..bytes.len() / 2])?;
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        self.bytes += bytes.len() as u64;
        self.file.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.disk.unsynced.load(Ordering::Relaxed) {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        self.disk.synced.lock().unwrap().insert(self.path.clone(), self.bytes);
        Ok(())
    }
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("aria-journal-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn note(number: u64) -> Record {
    Record::Event { sid: "CA1".into(), kind: "note".into(), at_ms: number, detail: "x".repeat(100).into() }
}

fn open(folder: &Path, disk: Arc<Faulty>, max_bytes: u64) -> (Journal, std::thread::JoinHandle<()>) {
    let (segments, _) = Segments::recover(folder).unwrap();
    start(Arc::new(segments), disk, max_bytes, ()).unwrap()
}

fn end((journal, thread): (Journal, std::thread::JoinHandle<()>)) {
    drop(journal);
    thread.join().unwrap();
}

/// `at_ms` of all records in order, each number once, as whoever brings them in sees them.
fn kept(folder: &Path) -> Vec<u64> {
    let (segments, _) = Segments::recover(folder).unwrap();
    let (mut place, mut last, mut all) = (Place::default(), 0, Vec::new());
    loop {
        let (records, behind) = segments.read(place, 1_000).unwrap();
        if records.is_empty() {
            return all;
        }
        for (number, record) in records {
            if number > last {
                last = number;
                let Record::Event { at_ms, .. } = record else { panic!("an event") };
                all.push(at_ms);
            }
        }
        place = behind;
    }
}

fn acknowledged(journal: &Journal, number: u64) -> bool {
    let (durable, confirmed) = oneshot::channel();
    journal.record(note(number), Some(durable));
    confirmed.blocking_recv().is_ok()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < limit, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn survives(name: &str, fault: fn(&Faulty) -> &AtomicBool) {
    let (folder, disk) = (folder(name), Faulty::new());
    let journal = open(&folder, Arc::clone(&disk), u64::MAX);
    assert!(acknowledged(&journal.0, 1) && journal.0.healthy());
    let before = disk.created.load(Ordering::Relaxed);
    fault(&disk).store(true, Ordering::Relaxed);
    let (durable, mut confirmed) = oneshot::channel();
    journal.0.record(note(2), Some(durable));
    until("it refuses", || !journal.0.healthy());
    // Live calls go on: their records wait.
    (3..=200).for_each(|number| journal.0.record(note(number), None));
    assert!(confirmed.try_recv().is_err(), "nothing is acknowledged that is not safe");
    until("it tries another file", || disk.created.load(Ordering::Relaxed) > before);
    fault(&disk).store(false, Ordering::Relaxed);
    assert!(confirmed.blocking_recv().is_ok());
    until("it takes records again", || journal.0.healthy());
    assert!(acknowledged(&journal.0, 201));
    end(journal);
    assert_eq!(kept(&folder), (1..=201).collect::<Vec<_>>());
    // And a restart goes on where it stood.
    let journal = open(&folder, disk, u64::MAX);
    assert!(acknowledged(&journal.0, 202));
    end(journal);
    assert_eq!(kept(&folder), (1..=202).collect::<Vec<_>>());
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn fault_45_a_full_disk_stops_admission_and_loses_nothing() {
    survives("full", |disk| &disk.full);
}

#[test]
fn fault_45_a_file_whose_sync_failed_is_never_trusted_again() {
    survives("sync", |disk| &disk.unsynced);
}

#[test]
fn a_journal_has_a_largest_size() {
    let (folder, disk) = (folder("bounded"), Faulty::new());
    let journal = open(&folder, disk, 64 * 1024);
    let mut taken = 0;
    while journal.0.healthy() && taken < 2_000 {
        journal.0.record(note(taken), None);
        taken += 1;
        std::thread::sleep(Duration::from_micros(200));
    }
    until("it refuses", || !journal.0.healthy());
    let bytes: u64 = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
    assert!((32 * 1024..=64 * 1024).contains(&bytes), "{bytes}");
    end(journal);
    fs::remove_dir_all(folder).unwrap();
}

/// Only what was synced, and a random part of what was not, outlasts each cut.
#[test]
fn fault_56_200_power_cuts_lose_nothing_that_was_acknowledged() {
    let folder = folder("power");
    let mut random = SmallRng::seed_from_u64(56);
    let (mut next, mut safe) = (1, Vec::new());
    for cut in 0..200 {
        let disk = Faulty::new();
        let journal = open(&folder, Arc::clone(&disk), u64::MAX);
        let mut waiting = Vec::new();
        for _ in 0..random.random_range(1..60) {
            let (durable, confirmed) = oneshot::channel();
            journal.0.record(note(next), Some(durable));
            waiting.push((next, confirmed));
            next += 1;
        }
        // From here on nothing more reaches the disk for good; what is being written may or may not have.
        std::thread::sleep(Duration::from_micros(random.random_range(0..3_000)));
        let (synced, named) = {
            let (synced, named) = (disk.synced.lock().unwrap(), disk.named.lock().unwrap());
            safe.extend(waiting.iter_mut().filter_map(|(n, c)| c.try_recv().is_ok().then_some(*n)));
            (synced.clone(), named.clone())
        };
        end(journal);
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let whole = fs::metadata(&path).unwrap().len();
            // Files of earlier runs were cut then.
            if disk.synced.lock().unwrap().contains_key(&path) {
                // A file whose name never reached the disk is there or is not, whatever of it was synced.
                if !named.contains(&path) && random.random() {
                    fs::remove_file(&path).unwrap();
                    continue;
                }
                let from = synced.get(&path).copied().unwrap_or(0);
                let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
                file.set_len(random.random_range(from..=whole)).unwrap();
            }
        }
        let kept = kept(&folder);
        let missing: Vec<_> = safe.iter().filter(|n| kept.binary_search(n).is_err()).collect();
        assert!(missing.is_empty(), "cut {cut}: {missing:?} were acknowledged and are gone");
        assert!(kept.windows(2).all(|w| w[0] < w[1]), "cut {cut}: order or duplicates");
    }
    assert!(safe.len() > 200, "only {} were acknowledged: the test tests nothing", safe.len());
    fs::remove_dir_all(folder).unwrap();
}

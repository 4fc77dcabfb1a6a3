//! Whose journal is whose. Several bridges may share a folder, while an old one drains for an hour for instance: each takes the first
//! free slot, and what a dead one left in another is brought in by whoever starts next.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rand::RngExt;

/// Bridges that may share one folder.
const MAX_SLOTS: usize = 64;

/// A folder of segments that no other process may touch while this lives.
#[derive(Debug)]
pub struct Slot {
    /// Where.
    pub folder: PathBuf,
    /// Its own name, by which the database knows how far it has been read. Unique in the world.
    pub id: String,
    // Released by the kernel when the process dies, however it dies.
    _lock: File,
}

impl Slot {
    /// The first free slot below `root`, made if need be.
    pub fn take(root: &Path) -> io::Result<Self> {
        for number in 0..MAX_SLOTS {
            if let Some(slot) = Self::lock(root.join(number.to_string()))? {
                return Ok(slot);
            }
        }
        Err(io::Error::other(format!("all {MAX_SLOTS} journals of this folder are in use")))
    }

    /// Slots that hold records and belong to nobody.
    pub fn left_behind(root: &Path) -> io::Result<Vec<Self>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(root)? {
            let folder = entry?.path();
            let is_slot =
                folder.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.parse::<usize>().is_ok());
            if is_slot && folder.join("id").exists() {
                found.extend(Self::lock(folder)?);
            }
        }
        Ok(found)
    }

    fn lock(folder: PathBuf) -> io::Result<Option<Self>> {
        fs::create_dir_all(&folder)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(folder.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let id = identity(&folder)?;
        Ok(Some(Self { folder, id, _lock: lock }))
    }
}

/// The slot's name; made once, and on the disk before anything is written under it. Numbers go on from the newest segment, so where
/// somebody removed them all a new name is due: under the old one the database would take new records for old.
fn identity(folder: &Path) -> io::Result<String> {
    let path = folder.join("id");
    let segments =
        fs::read_dir(folder)?.flatten().any(|e| e.path().extension().is_some_and(|e| e == "journal"));
    match fs::read_to_string(&path) {
        Ok(id) if id.len() == 32 && segments => return Ok(id),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let id = format!("{:032x}", rand::rng().random::<u128>());
    let temporary = folder.join("id.new");
    let mut file = File::create(&temporary)?;
    file.write_all(id.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, &path)?;
    File::open(folder)?.sync_all()?;
    Ok(id)
}

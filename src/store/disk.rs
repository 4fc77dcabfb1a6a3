//! The few things that a journal asks of a file system, so that a test can play one that fails.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// A file system.
pub trait Disk: Send + Sync + 'static {
    /// A new file to append to. An old one of this name is an error.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Append>>;
    /// Makes what was created in or removed from `folder` last.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// A file that is only ever appended to.
pub trait Append: Send {
    /// Appends all of `bytes`, or fails having appended some of them.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Resolves when everything appended will outlast a power cut. After an error nothing is known of what was appended since the
    /// last success, and asking again proves nothing: the kernel may have dropped the pages and marked them clean.
    fn sync(&mut self) -> io::Result<()>;
}

/// The machine's own.
#[derive(Debug, Clone, Copy)]
pub struct System;

impl Disk for System {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Append>> {
        Ok(Box::new(OpenOptions::new().append(true).create_new(true).open(path)?))
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}

impl Append for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

//! The data directory: one process at a time, one format, and how much room its disk has.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
    process,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{Space, StoreError};

/// What the file `FORMAT` says. A version that lays out its data otherwise counts up, and says here what it can still read.
const FORMAT: u32 = 3;

/// How long a measurement of the disk's room holds. A disk of 1 GB/s fills what `reserve_bytes` keeps back in less, but then
/// the write fails and stops the store, which loses nothing.
const MEASURED_FOR: Duration = Duration::from_millis(200);

/// An open data directory. Its lock ends with it, and with the process.
pub(super) struct Directory {
    path: PathBuf,
    low_bytes: u64,
    reserve_bytes: u64,
    free_bytes: AtomicU64,
    measured: Mutex<Option<Instant>>,
    /// Held for the lock on it.
    _lock: File,
}

impl Directory {
    /// Makes the directory if it is not there, locks it and looks at its format.
    pub(super) fn open(path: &Path, low_bytes: u64, reserve_bytes: u64) -> Result<Self, StoreError> {
        fs::create_dir_all(path).map_err(io_error("creating the data directory", path))?;
        let lock = lock(path)?;
        let directory = Self {
            path: path.to_owned(),
            low_bytes,
            reserve_bytes,
            free_bytes: AtomicU64::new(0),
            measured: Mutex::new(None),
            _lock: lock,
        };
        directory.check_format()?;
        Ok(directory)
    }

    /// Where the database lies.
    pub(super) fn database(&self) -> PathBuf {
        self.path.join("db")
    }

    pub(super) fn space(&self) -> Space {
        match self.free_bytes() {
            free if free < self.reserve_bytes => Space::Full,
            free if free < self.low_bytes => Space::Low,
            _ => Space::Ample,
        }
    }

    /// Refuses when a commit could fill the disk.
    pub(super) fn check_space(&self) -> Result<(), StoreError> {
        let free_bytes = self.free_bytes();
        if free_bytes >= self.reserve_bytes {
            return Ok(());
        }
        Err(StoreError::Full { path: self.path.clone(), free_bytes, reserve_bytes: self.reserve_bytes })
    }

    fn free_bytes(&self) -> u64 {
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        if measured.is_none_or(|at| at.elapsed() > MEASURED_FOR) {
            *measured = Some(Instant::now());
            // Not every file system can tell; then the write itself has to fail.
            let free = rustix::fs::statvfs(&self.path)
                .map_or(u64::MAX, |stat| stat.f_bavail.saturating_mul(stat.f_frsize));
            self.free_bytes.store(free, Ordering::Relaxed);
        }
        self.free_bytes.load(Ordering::Relaxed)
    }

    fn check_format(&self) -> Result<(), StoreError> {
        let path = self.path.join("FORMAT");
        let wrong = |found: &str| StoreError::Format {
            path: path.clone(),
            found: found.to_owned(),
            expected: FORMAT,
        };
        match fs::read_to_string(&path) {
            Ok(text) if text.trim() == FORMAT.to_string() => Ok(()),
            Ok(text) => Err(wrong(text.trim())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if self.database().exists() {
                    return Err(wrong("none"));
                }
                self.write_format(&path)
            }
            Err(error) => Err(io_error("reading the format", &path)(error)),
        }
    }

    /// Writes the format so that it is either whole or absent after a crash.
    fn write_format(&self, path: &Path) -> Result<(), StoreError> {
        let unfinished = self.path.join("FORMAT.new");
        let write = || {
            let mut file = File::create(&unfinished)?;
            writeln!(file, "{FORMAT}")?;
            file.sync_all()?;
            fs::rename(&unfinished, path)?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(io_error("writing the format", path))
    }
}

fn lock(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join("LOCK");
    let failed = |error| io_error("locking the data directory", &path)(error);
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let known = file.read_to_string(&mut pid).is_ok() && !pid.trim().is_empty();
            let pid = if known { pid.trim().to_owned() } else { "?".to_owned() };
            return Err(StoreError::InUse { path: directory.to_owned(), pid });
        }
        Err(fs::TryLockError::Error(error)) => return Err(failed(error)),
    }
    let note =
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", process::id()));
    note.map_err(failed)?;
    Ok(file)
}

/// Makes a [`StoreError::Io`] of what the system says.
pub(super) fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |source| StoreError::Io { what, path: path.to_owned(), source }
}

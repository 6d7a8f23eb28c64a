//! Looks at the database's journals before the database does.
//!
//! A crash can leave the last record of the last journal unfinished: nobody got an answer for it, and it is cut off. The
//! database does that too, but where only the middle of the record is missing, as after a power cut, it refuses to open; and
//! where a record in the middle of a journal is damaged, it cuts off all that follow, which were answered. So this tells the
//! one from the other: what is damaged and has a whole record behind it, or is not in the last journal, was durable once.
//!
//! The journal's format is the one of fjall 3, as [`Database`](super::database) writes it (little-endian, no compression):
//! ```text
//! record  = 1 count:u32 seqno:u64 item* 3 checksum:u64 "FJL" 3      checksum: XXH3 over the items
//! item    = 2 type:u8 compression:u8 keyspace:u64 key:u16 value:u32 stored:u32 key value
//!         | 4 keyspace:u64
//! journal = record* zero*
//! ```

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use xxhash_rust::xxh3::Xxh3;

use super::directory::io_error;
use crate::StoreError;

/// What was never written, to compare pieces with.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Checks every journal in the database's directory, and cuts off an unfinished record at the end of the last one. Gives the
/// bytes of the records that there are.
///
/// # Errors
/// [`StoreError::Corrupt`] with the journal and the offset of what is damaged.
pub(super) fn check(database: &Path) -> Result<u64, StoreError> {
    let journals = journals(database).map_err(io_error("listing the journals", database))?;
    let mut bytes = 0;
    for (at, journal) in journals.iter().enumerate() {
        let failed = |error| io_error("reading the journal", journal)(error);
        let (end, is_end) = whole_records(journal).map_err(failed)?;
        bytes += end;
        if is_end {
            continue;
        }
        if at + 1 < journals.len() || has_record_behind(journal, end).map_err(failed)? {
            return Err(corrupt(journal, end));
        }
        let cut = || {
            let file = OpenOptions::new().write(true).open(journal)?;
            file.set_len(end)?;
            file.sync_all()
        };
        cut().map_err(io_error("cutting off an unfinished record", journal))?;
    }
    Ok(bytes)
}

/// The journals, oldest first.
fn journals(database: &Path) -> io::Result<Vec<PathBuf>> {
    if !database.exists() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(database)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|name| name.to_str()?.parse::<u64>().ok());
        if let Some(number) = number.filter(|_| path.extension().is_some_and(|extension| extension == "jnl"))
        {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Where the whole records at the beginning end, and whether nothing follows but room for more.
fn whole_records(journal: &Path) -> io::Result<(u64, bool)> {
    let mut reader = BufReader::with_capacity(1 << 20, File::open(journal)?);
    let mut end = 0;
    while let Some(length) = record(&mut reader)? {
        end += length;
    }
    reader.seek(SeekFrom::Start(end))?;
    Ok((end, is_zero(&mut reader)?))
}

/// Whether a whole record begins anywhere behind `offset`.
fn has_record_behind(journal: &Path, offset: u64) -> io::Result<bool> {
    let mut file = File::open(journal)?;
    file.seek(SeekFrom::Start(offset + 1))?;
    // A journal is some 64 MiB long, most of it not written yet.
    let mut rest = Vec::new();
    let mut zeros = 0;
    pieces(&mut file, |piece| {
        if piece == &ZEROS[..piece.len()] {
            zeros += piece.len();
        } else {
            rest.resize(rest.len() + zeros, 0);
            rest.extend_from_slice(piece);
            zeros = 0;
        }
        true
    })?;
    for start in (0..rest.len()).filter(|start| rest[*start] == 1) {
        if record(&mut &rest[start..])?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Reads one record and gives its length; `None` if it is not whole.
fn record(reader: &mut impl Read) -> io::Result<Option<u64>> {
    match whole_record(reader) {
        Ok(length) => Ok(length),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

fn whole_record(reader: &mut impl Read) -> io::Result<Option<u64>> {
    let [1] = take(reader)? else { return Ok(None) };
    let count = u32::from_le_bytes(take(reader)?);
    let [..]: [u8; 8] = take(reader)?;
    let mut length = 13;
    let mut checksum = Xxh3::new();
    for _ in 0..count {
        let Some(item) = item(reader, &mut checksum)? else { return Ok(None) };
        length += item;
    }
    let [3] = take(reader)? else { return Ok(None) };
    let expected = u64::from_le_bytes(take(reader)?);
    let trailer: [u8; 4] = take(reader)?;
    Ok((expected == checksum.digest() && trailer == *b"FJL\x03").then_some(length + 13))
}

fn item(reader: &mut impl Read, checksum: &mut Xxh3) -> io::Result<Option<u64>> {
    let tag: [u8; 1] = take(reader)?;
    checksum.update(&tag);
    match tag {
        [2] => {
            let head: [u8; 20] = take(reader)?;
            checksum.update(&head);
            let [.., k0, k1, v0, v1, v2, v3, s0, s1, s2, s3] = head;
            let key = u64::from(u16::from_le_bytes([k0, k1]));
            let value = u64::from(u32::from_le_bytes([v0, v1, v2, v3]));
            // Both lengths of a value are the same, since nothing is compressed.
            if value != u64::from(u32::from_le_bytes([s0, s1, s2, s3])) {
                return Ok(None);
            }
            let mut left = key + value;
            let mut piece = [0; 4096];
            while left > 0 {
                let some = &mut piece[..usize::try_from(left).unwrap_or(usize::MAX).min(4096)];
                reader.read_exact(some)?;
                checksum.update(some);
                left -= some.len() as u64;
            }
            Ok(Some(21 + key + value))
        }
        [4] => {
            let keyspace: [u8; 8] = take(reader)?;
            checksum.update(&keyspace);
            Ok(Some(9))
        }
        _ => Ok(None),
    }
}

fn take<const N: usize>(reader: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn is_zero(reader: &mut impl Read) -> io::Result<bool> {
    let mut zero = true;
    pieces(reader, |piece| {
        zero = piece == &ZEROS[..piece.len()];
        zero
    })?;
    Ok(zero)
}

/// Reads to the end, piece by piece, unless `go_on` says no.
fn pieces(reader: &mut impl Read, mut go_on: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
    let mut piece = vec![0; ZEROS.len()];
    loop {
        match reader.read(&mut piece)? {
            0 => return Ok(()),
            read if !go_on(&piece[..read]) => return Ok(()),
            _ => {}
        }
    }
}

fn corrupt(journal: &Path, offset: u64) -> StoreError {
    StoreError::Corrupt {
        path: journal.to_owned(),
        what: format!(
            "the record at byte {offset} is damaged, and was whole once: restore the data directory from a copy"
        ),
    }
}

//! A journal that ends anywhere, and files that are not what was written.

#![expect(clippy::unwrap_used, reason = "tests")]

mod child;

use std::{
    fs::{self, File, OpenOptions},
    io::Read,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use child::{check, commit, settings};
use tempfile::TempDir;
use workflow_store::{EmbeddedSettings, EmbeddedStore, Filter, Store, StoreError};

/// A data directory that was left by a crash, and where in its journal each commit ends.
struct Crashed {
    directory: TempDir,
    ends: Vec<u64>,
}

const COMMITS: u64 = 7;

impl Crashed {
    fn new() -> Self {
        let directory = child::directory();
        let store = EmbeddedStore::open(
            directory.path(),
            &EmbeddedSettings { write_buffer_bytes: 16 << 20, ..settings() },
        )
        .unwrap();
        let mut ends = vec![used(&journal(directory.path()))];
        for n in 0..COMMITS {
            store.commit(&[commit(n)]).unwrap();
            ends.push(used(&journal(directory.path())));
        }
        Self { directory, ends }
    }

    /// A copy whose journal was changed.
    fn with(&self, change: impl FnOnce(&File)) -> TempDir {
        let copy = child::directory();
        copy_all(self.directory.path(), copy.path());
        change(&OpenOptions::new().read(true).write(true).open(journal(copy.path())).unwrap());
        copy
    }
}

fn journal(directory: &Path) -> PathBuf {
    directory.join("db/0.jnl")
}

/// Up to where a journal is not zero; its records are dense.
fn used(journal: &Path) -> u64 {
    let mut file = File::open(journal).unwrap();
    let (mut used, mut read) = (0, 0);
    let mut piece = [0; 16 << 10];
    loop {
        let length = file.read(&mut piece).unwrap();
        let Some(last) = piece[..length].iter().rposition(|byte| *byte != 0) else { return used };
        used = read + last as u64 + 1;
        read += length as u64;
    }
}

/// Copies a directory, but of a journal only what is used of it.
fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let copy = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_all(&path, &copy);
        } else if path.extension().is_some_and(|extension| extension == "jnl") {
            let mut bytes = Vec::new();
            File::open(&path).unwrap().take(used(&path)).read_to_end(&mut bytes).unwrap();
            fs::write(&copy, bytes).unwrap();
        } else {
            fs::copy(&path, &copy).unwrap();
        }
    }
}

fn open(directory: &Path) -> Result<EmbeddedStore, StoreError> {
    EmbeddedStore::open(directory, &settings())
}

#[test]
fn a_journal_that_ends_anywhere_leaves_whole_commits() {
    let crashed = Crashed::new();
    for (n, pair) in crashed.ends.windows(2).enumerate() {
        let (start, end) = (pair[0], pair[1]);
        for cut in [start, start + 1, start + 13, (start + end) / 2, end - 4, end - 1, end] {
            let expected = n as u64 + u64::from(cut == end);
            // The file ends there, or what follows was never written.
            for length in [cut, cut + 100_000] {
                let copy = crashed.with(|journal| {
                    journal.set_len(cut).unwrap();
                    journal.set_len(length).unwrap();
                });
                let store = open(copy.path()).unwrap();
                assert_eq!(check(&store), expected, "cut at {cut} in {start}..{end}");
                // And it goes on from there.
                store.commit(&[commit(expected)]).unwrap();
                drop(store);
                assert_eq!(check(&open(copy.path()).unwrap()), expected + 1);
            }
        }
    }
}

#[test]
fn a_last_commit_with_a_hole_was_never_answered() {
    let crashed = Crashed::new();
    let [.., start, end] = crashed.ends[..] else { panic!("there are commits") };
    for (from, to) in
        [(start, start + 30), (start + 20, start + 200), (start + 100, end - 20), (end - 10, end - 6)]
    {
        let copy =
            crashed.with(|journal| journal.write_all_at(&vec![0; (to - from) as usize], from).unwrap());
        assert_eq!(
            check(&open(copy.path()).unwrap()),
            COMMITS - 1,
            "a hole at {from}..{to} in {start}..{end}"
        );
    }
}

#[test]
fn damage_before_the_end_is_refused_and_named() {
    let crashed = Crashed::new();
    // Behind the last commit there is none that would tell.
    for start in &crashed.ends[..crashed.ends.len() - 2] {
        // The first byte, a length, the text of an event.
        for within in [0, 13 + 11, 300] {
            let at = start + within;
            let copy = crashed.with(|journal| {
                let mut byte = [0];
                journal.read_exact_at(&mut byte, at).unwrap();
                journal.write_all_at(&[byte[0] ^ 0x40], at).unwrap();
            });
            let Err(error) = open(copy.path()) else { panic!("damage at {at} went unseen") };
            assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
            let text = error.to_string();
            assert!(text.contains("0.jnl") && text.contains(&format!("byte {start} ")), "{text}");
            // Nothing was cut off: whoever repairs it finds everything.
            assert_eq!(used(&journal(copy.path())), *crashed.ends.last().unwrap());
        }
    }
}

#[test]
fn damage_in_a_table_is_an_error_and_never_wrong_data() {
    let directory = child::directory();
    let small = EmbeddedSettings { write_buffer_bytes: 16 << 10, ..settings() };
    let store = EmbeddedStore::open(directory.path(), &small).unwrap();
    (0..400).for_each(|n| store.commit(&[commit(n)]).unwrap());
    drop(store);
    let mut tables = Vec::new();
    find_tables(&directory.path().join("db/keyspaces"), &mut tables);
    assert!(tables.len() > 5, "nothing was flushed: {tables:?}");
    let mut noticed = 0;
    for table in tables {
        let copy = child::directory();
        copy_all(directory.path(), copy.path());
        let table = copy.path().join(table.strip_prefix(directory.path()).unwrap());
        let mut bytes = fs::read(&table).unwrap();
        let at = bytes.len() / 3;
        bytes[at] ^= 0x10;
        fs::write(&table, bytes).unwrap();
        let read = open(copy.path()).and_then(|store| read_all(&store).map(|()| store));
        match read {
            Ok(store) => assert_eq!(check(&store), 400, "the damage in {} was read", table.display()),
            Err(error) => {
                assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
                noticed += 1;
            }
        }
    }
    assert!(noticed > 0);
}

fn find_tables(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find_tables(&path, found);
        } else if path.parent().is_some_and(|parent| parent.ends_with("tables")) {
            found.push(path);
        }
    }
}

fn read_all(store: &EmbeddedStore) -> Result<(), StoreError> {
    let page = store.list(&Filter::default(), None, 1_000)?;
    for summary in page.summaries {
        store.summary(&summary.id)?;
        store.events(&summary.id, 0, 9)?;
    }
    for n in 0..400_u32 {
        store.idempotent(b"child", &n.to_string(), 0)?;
    }
    store.count(&Filter { name_prefix: "c".to_owned(), ..Filter::default() })?;
    Ok(())
}

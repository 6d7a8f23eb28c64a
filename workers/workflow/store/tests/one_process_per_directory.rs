//! The data directory: who may open it, what it says of its format, and how full its disk may be.

mod subject;

use std::fs;

use subject::{id, settings, workflow};
use workflow_store::{
    Commit, EmbeddedSettings, EmbeddedStore, Rejection, Space, Status, Store, StoreError, Write,
};

fn refused(directory: &std::path::Path) -> StoreError {
    match EmbeddedStore::open(directory, &settings()) {
        Ok(_) => panic!("it was opened"),
        Err(error) => error,
    }
}

#[test]
fn a_second_opener_is_told_who_was_first() {
    let directory = subject::directory();
    let store = EmbeddedStore::open(directory.path(), &settings()).unwrap();
    let error = refused(directory.path());
    let text = error.to_string();
    assert!(matches!(error, StoreError::InUse { .. }), "{text}");
    assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
    assert!(text.contains(directory.path().to_str().unwrap()), "{text}");
    drop(store);
    EmbeddedStore::open(directory.path(), &settings()).unwrap();
}

#[test]
fn another_format_is_refused() {
    let directory = subject::directory();
    drop(EmbeddedStore::open(directory.path(), &settings()).unwrap());
    for found in ["2", "3.5", ""] {
        fs::write(directory.path().join("FORMAT"), found).unwrap();
        let text = refused(directory.path()).to_string();
        assert!(text.contains(&format!("has format {found},")) && text.contains("format 3 only"), "{text}");
    }
    fs::remove_file(directory.path().join("FORMAT")).unwrap();
    assert!(matches!(refused(directory.path()), StoreError::Format { .. }));
}

#[test]
fn a_path_that_cannot_be_a_directory_is_named() {
    let directory = subject::directory();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let error = refused(&file.join("data"));
    assert!(error.to_string().contains("file/data"), "{error}");
}

#[test]
fn a_disk_that_is_nearly_full_refuses_commits_and_answers_reads() {
    let directory = subject::directory();
    let create = |name| [Commit::new(vec![Write::Create(workflow(name, 1))])];
    let store = EmbeddedStore::open(directory.path(), &settings()).unwrap();
    assert_eq!(store.space(), Space::Ample);
    store.commit(&create("a")).unwrap();
    drop(store);

    let store =
        EmbeddedStore::open(directory.path(), &EmbeddedSettings { low_bytes: u64::MAX, ..settings() })
            .unwrap();
    assert_eq!(store.space(), Space::Low);
    store.commit(&create("b")).unwrap();
    drop(store);

    let full = EmbeddedSettings { reserve_bytes: u64::MAX, ..settings() };
    let store = EmbeddedStore::open(directory.path(), &full).unwrap();
    assert_eq!(store.space(), Space::Full);
    let error = store.commit(&create("c")).unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }) && !error.is_fatal(), "{error}");
    assert!(error.to_string().contains(directory.path().to_str().unwrap()), "{error}");
    assert_eq!(store.live().unwrap().len(), 2);
    assert_eq!(store.summary(&id("c")).unwrap(), None);
}

#[test]
fn a_name_that_no_key_can_hold_is_rejected() {
    let directory = subject::directory();
    let store = EmbeddedStore::open(directory.path(), &settings()).unwrap();
    let set =
        |bytes| [Commit::new(vec![Write::Setting { name: "n".repeat(bytes), value: Some("v".into()) }])];
    store.commit(&set(60_000)).unwrap();
    let error = store.commit(&set(70_000)).unwrap_err();
    assert!(matches!(error, StoreError::Rejected { commit: 0, reason: Rejection::TooLong }), "{error}");
    let mut long = workflow("w", 1);
    long.name = "n".repeat(100_000);
    long.status = Status::Failed;
    long.owner.clone_from(&long.name);
    long.attributes = vec![(long.name.clone(), long.name.clone())];
    store.commit(&[Commit::new(vec![Write::Create(long.clone())])]).unwrap();
    drop(store);
    let store = EmbeddedStore::open(directory.path(), &settings()).unwrap();
    assert_eq!(store.settings().unwrap().len(), 1);
    assert_eq!(store.summary(&id("w")).unwrap(), Some(long));
}

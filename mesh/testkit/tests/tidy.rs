//! What the style asks of every file and no compiler checks.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Files that may be longer than 600 lines, each with its reason.
const LONG: [&str; 0] = [];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                folders.push(path);
            } else if name.ends_with(".rs") {
                let shown = path.strip_prefix(root()).unwrap().display().to_string();
                found.push((shown, fs::read_to_string(path).unwrap()));
            }
        }
    }
    assert!(found.len() > 100, "the walk found {} files only", found.len());
    found
}

#[test]
fn every_file_says_what_it_is() {
    let silent: Vec<_> = sources().into_iter().filter(|(_, text)| !text.starts_with("//!")).collect();
    assert!(
        silent.is_empty(),
        "no //! at the top of {:?}",
        silent.iter().map(|(path, _)| path).collect::<Vec<_>>()
    );
}

#[test]
fn no_file_outgrows_its_reader() {
    let long: Vec<_> = sources()
        .into_iter()
        .filter(|(path, text)| text.lines().count() > 600 && !LONG.contains(&path.as_str()))
        .map(|(path, _)| path)
        .collect();
    assert!(long.is_empty(), "split by responsibility: {long:?}");
}

#[test]
fn the_readme_shows_the_example_that_is_compiled() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let example = fs::read_to_string(root().join("mesh/backend/examples/shout.rs")).unwrap();
    assert!(readme.contains(&format!("```rust\n{example}```")), "README.md and shout.rs differ");
    assert!(example.lines().count() <= 60);
}

#[test]
fn only_the_config_reads_the_environment_in_the_router() {
    let readers: Vec<_> = sources()
        .into_iter()
        .filter(|(path, text)| {
            path.starts_with("router/src/")
                && !path.contains("tests")
                && !path.contains("simulator")
                && text.contains("env::var")
        })
        .map(|(path, _)| path)
        .collect();
    assert!(readers.iter().all(|path| path.starts_with("router/src/config")), "{readers:?}");
}

#[test]
fn the_data_plane_neither_awaits_nor_locks() {
    const DATA_PLANE: [&str; 10] = [
        "worker",
        "plane",
        "downstream",
        "call",
        "route",
        "peek",
        "directory",
        "balance",
        "upstream",
        "timers",
    ];
    for (path, text) in sources() {
        let Some(rest) = path.strip_prefix("router/src/") else { continue };
        let module = rest.split(['/', '.']).next().unwrap_or_default();
        // Once per connection: only the worker that reads a PROXY header knows whose connection it is.
        if rest == "worker/sources.rs" {
            continue;
        }
        if DATA_PLANE.contains(&module) {
            for word in [".await", "Mutex", "RwLock", "thread::sleep", "blocking_"] {
                assert!(!text.contains(word), "{path} contains {word}");
            }
        }
    }
}

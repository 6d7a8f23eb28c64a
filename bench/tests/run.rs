//! `run` as a process: what it writes, what it does about a contender that is missing, and that it leaves nothing behind.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

fn bench(folder: &Path, flags: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard-bench"));
    command.arg("run").args(flags.split_whitespace()).arg("--out").arg(folder.join("out"));
    // Everything that a run makes is below it.
    let scratch = folder.join("scratch");
    fs::create_dir_all(&scratch).unwrap();
    command.env("TMPDIR", scratch).stdin(Stdio::null());
    command
}

fn scratch(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder.join("scratch")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn results(folder: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(folder.join("out/results.json")).unwrap()).unwrap()
}

fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < end, "not in a minute: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn end(child: &mut Child) -> ExitStatus {
    eventually("the end of the run", || child.try_wait().unwrap().is_some());
    child.wait().unwrap()
}

#[test]
fn results_have_a_cost_for_a_proxy_and_none_without() {
    let folder = tempfile::tempdir().unwrap();
    let flags = "--quick --only unary-8x32 --contenders direct,hyper --rounds 2 --seconds 0.1 --warmup 0.05";
    let answer = bench(folder.path(), flags).output().unwrap();
    let said = String::from_utf8_lossy(&answer.stderr).into_owned();
    assert!(answer.status.success(), "{said}");
    assert!(said.contains("[4/4]") && said.contains("left"), "{said}");
    let results = results(folder.path());
    let contenders = &results["scenarios"]["unary-8x32"]["contenders"];
    assert!(contenders["hyper"]["cpu_us"].as_f64().unwrap() > 0.0, "{results:#}");
    assert!(contenders["hyper"]["rss_mib"].as_f64().unwrap() > 0.0, "{results:#}");
    assert!(contenders["direct"]["cpu_us"].is_null(), "{results:#}");
    assert!(contenders["direct"]["rps"].as_f64().unwrap() > 0.0, "{results:#}");
    assert_eq!(results["meta"]["rounds"], 2);
    assert!(results["meta"]["versions"]["hyper"].as_str().unwrap().starts_with("hyper 1."), "{results:#}");
    assert_eq!(scratch(folder.path()), [""; 0]);
}

#[test]
fn a_missing_contender_is_named_and_the_others_are_measured() {
    let folder = tempfile::tempdir().unwrap();
    let flags = "--only unary-1x1 --contenders direct,envoy --rounds 1 --seconds 0.05 --warmup 0";
    let answer = bench(folder.path(), flags).env("ENVOY_BIN", "/nonexistent/envoy").output().unwrap();
    let said = String::from_utf8_lossy(&answer.stderr).into_owned();
    assert_eq!(answer.status.code(), Some(3), "{said}");
    let results = results(folder.path());
    let contenders = &results["scenarios"]["unary-1x1"]["contenders"];
    assert!(contenders["envoy"]["failed"].as_str().unwrap().contains("/nonexistent/envoy"), "{results:#}");
    assert!(contenders["direct"]["rps"].as_f64().unwrap() > 0.0, "{results:#}");
}

#[test]
fn an_interrupted_run_ends_what_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let flags = "--only unary-1x1 --contenders hyper --rounds 1 --seconds 600";
    let mut run = bench(folder.path(), flags).stderr(Stdio::null()).spawn().unwrap();
    let of_scratch = |pid: &fs::DirEntry| {
        let scratch = folder.path().join("scratch");
        // Each child writes its output below the folder.
        fs::read_link(pid.path().join("fd/1")).is_ok_and(|file| file.starts_with(scratch))
    };
    let children = || fs::read_dir("/proc").unwrap().flatten().filter(of_scratch).count();
    // Backend, proxy, load generator.
    eventually("three processes", || children() == 3);
    let killed = Command::new("sh").args(["-c", "kill -TERM $0", &run.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(end(&mut run).code(), Some(1));
    assert_eq!(children(), 0);
    assert_eq!(scratch(folder.path()), [""; 0]);
    assert!(!folder.path().join("out/results.json").exists());
}

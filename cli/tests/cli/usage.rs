//! Wrong command lines: exit code 64, nothing on standard output, and words that say what is right.

use crate::process::run;

#[test]
fn help_names_the_commands_examples_and_exit_codes() {
    let help = run(["--help"]).output();
    for text in [
        "dev",
        "call",
        "ls",
        "top",
        "certs",
        "completions",
        "switchboard call echo-agent hello",
        "Exit codes:",
        "64",
    ] {
        assert!(help.contains(text), "{text:?} in {help}");
    }
    for command in ["dev", "call", "ls", "top", "certs", "completions"] {
        assert!(run([command, "--help"]).output().contains("Example"), "{command}");
    }
    assert!(run(["--version"]).output().starts_with("switchboard "));
}

#[test]
fn wrong_arguments_end_with_64() {
    for (args, words) in [
        (vec![], "Usage"),
        (vec!["dial"], "dial"),
        (vec!["call"], "<ID>"),
        (vec!["call", "echo-agent", "x", "--param", "nothing"], "NAME=VALUE"),
        (vec!["call", "echo-agent", "x", "--deadline", "5"], "250ms"),
        (vec!["call", "echo-agent", "x", "--header", "a b=c"], "invalid header"),
        (vec!["call", "Echo-agent"], "upper case"),
        (vec!["call", "echo-agent", "--status", "--task-id", "t"], "agents keep no tasks"),
        (vec!["call", "echo-agent", "x", "--op", "say"], "is no tool"),
        (vec!["call", "weather-tool", "Rome", "--op", "get_weather"], "--param"),
        (vec!["call", "weather-tool", "--stream"], "only agents stream"),
        (vec!["call", "weather-tool", "--status"], "no status"),
        (vec!["call", "itinerary-worker", "--status"], "--task-id"),
        (vec!["--endpoint", "ftp://x", "ls"], "http://host:port"),
        (vec!["--endpoint", "https://x:1", "ls"], "SWITCHBOARD_CA"),
        (vec!["--ca", "/nowhere/ca.pem", "ls"], "/nowhere/ca.pem"),
        (vec!["--cert", "c.pem", "ls"], "SWITCHBOARD_KEY"),
        (vec!["--token", "@/nowhere/token", "ls"], "/nowhere/token"),
        (vec!["dev", "--grpc", "50051"], "50051"),
        (vec!["dev", "--backends", "none,echo"], "stands alone"),
        (vec!["dev", "--backends", "eco"], "echo"),
        (vec!["ls", "things"], "things"),
        (vec!["top"], "no terminal"),
        (vec!["top", "--json"], "--once"),
        (vec!["top", "--admin", "https://x:1"], "host:port"),
        (vec!["top", "--interval", "10ms"], "100ms to 1h"),
    ] {
        let said = run(&args).failure(64);
        assert!(said.contains(words), "{args:?}: {words:?} in {said}");
    }
}

#[test]
fn completions_are_printed_for_each_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(["completions", shell]).output();
        assert!(script.contains("switchboard") && script.contains("completions"), "{shell}");
    }
}

#[test]
fn a_token_among_the_arguments_is_refused_and_not_repeated() {
    for args in [["--token", "s3cret", "ls"], ["ls", "--token", "s3cret"], ["--token=s3cret", "ls", "--json"]]
    {
        let said = run(args).failure(64);
        assert!(said.contains("@FILE") && said.contains("SWITCHBOARD_TOKEN"), "{said}");
        assert!(!said.contains("s3cret"), "{said}");
    }
}

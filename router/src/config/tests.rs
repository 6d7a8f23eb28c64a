//! Configuration from arguments, variables and files.

use super::*;
use std::{ffi::OsString, io::Write};

fn check(args: &[&str], vars: &[(&str, &str)]) -> Result<Command, Error> {
    let args = std::iter::once("switchboard-router").chain(args.iter().copied()).map(OsString::from);
    load(args, &|name| vars.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
}

fn running(args: &[&str], vars: &[(&str, &str)]) -> Config {
    match check(args, vars).unwrap() {
        Command::Run(config) => *config,
        other => panic!("expected a configuration to run with, got {other:?}"),
    }
}

fn problems(args: &[&str], vars: &[(&str, &str)]) -> Vec<Problem> {
    match check(args, vars) {
        Err(Error::Invalid(problems)) => problems,
        other => panic!("expected problems, got {other:?}"),
    }
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[test]
fn nothing_said_means_the_defaults() {
    let config = running(&[], &[]);
    assert_eq!(config.grpc, DEFAULT_GRPC);
    assert_eq!(config.admin, DEFAULT_ADMIN);
    assert_eq!(config.registry.address, "http://127.0.0.1:8500");
    assert_eq!(config.advertise, Advertise::Auto);
    assert!(config.workers >= 1 && !config.reflection && !config.access_log);
    assert_eq!(config.upstream_http2.max_concurrent_streams, DEFAULT_STREAMS_PER_UPSTREAM_CONNECTION);
}

#[test]
fn a_flag_beats_a_variable_beats_the_file() {
    let file = file("grpc = \"127.0.0.1:1\"\nworkers = 3\nreflection = true\ncache_ttl = \"7s\"\n");
    let path = file.path().to_str().unwrap();
    let vars = [("SWITCHBOARD_GRPC", "127.0.0.1:2"), ("SWITCHBOARD_WORKERS", "4")];
    let config = running(&["--grpc", "127.0.0.1:3", "--config", path], &vars);
    assert_eq!(config.grpc.port(), 3);
    assert_eq!(config.workers, 4);
    assert!(config.reflection);
    assert_eq!(config.cache_ttl, Duration::from_secs(7));
}

#[test]
fn the_older_variables_still_work() {
    let vars = [("MCP_ROUTER_PORT", "6000"), ("CONSUL_HOST", "consul"), ("CONSUL_PORT", "8600")];
    let config = running(&[], &vars);
    assert_eq!(config.grpc, SocketAddr::from(([0, 0, 0, 0], 6000)));
    assert_eq!(config.registry.address, "http://consul:8600");
    assert_eq!(running(&["--grpc", "127.0.0.1:1"], &vars).grpc.port(), 1);
}

#[test]
fn the_flag_names_the_registry_whatever_the_variables_say() {
    let vars = [("CONSUL_HTTP_ADDR", "a:1"), ("SWITCHBOARD_CONSUL_ADDR", "b:2")];
    assert_eq!(running(&["--registry", "http://c:3"], &vars).registry.address, "http://c:3");
    assert_eq!(running(&[], &[("SWITCHBOARD_REGISTRY", "c:3"), vars[0]]).registry.address, "http://c:3");
}

#[test]
fn everything_wrong_is_reported_at_once_with_its_place() {
    let file = file("grcp = \"127.0.0.1:1\"\nmax_watches = 0\ndrain_limit = 5\n");
    let path = file.path().to_str().unwrap();
    let found = problems(
        &["--grpc", "nowhere", "--registry", "unix:///x", "--config", path],
        &[("SWITCHBOARD_ADVERTISE", "0.0.0.0"), ("MCP_ROUTER_PORT", "grpc")],
    );
    let places: Vec<&str> = found.iter().map(|problem| problem.place.split(' ').next().unwrap()).collect();
    let expected = [
        "drain_limit",
        "grcp",
        "max_watches",
        "MCP_ROUTER_PORT",
        "SWITCHBOARD_ADVERTISE",
        "--grpc",
        "--registry",
    ];
    assert_eq!(places, expected);
    assert!(found[1].reason.contains("did you mean `grpc`"), "{}", found[1].reason);
}

#[test]
fn values_that_do_not_fit_each_other_are_refused() {
    for (args, vars) in [
        (&["--grpc", "127.0.0.1:9901"][..], &[][..]),
        (&[], &[("SWITCHBOARD_MAX_CALLS_IN_FLIGHT", "1023")]),
        (&[], &[("SWITCHBOARD_MAX_CONNECTIONS", "999")]),
        (&[], &[("SWITCHBOARD_STREAM_WINDOW", "8MiB")]),
        (&[], &[("SWITCHBOARD_UPSTREAM_STREAM_WINDOW", "8MiB")]),
        (&[], &[("SWITCHBOARD_MAX_SERVICES", "99")]),
        (&[], &[("SWITCHBOARD_TLS_CERT", "cert.pem")]),
        (&[], &[("SWITCHBOARD_TLS_CLIENT_CA", "ca.pem")]),
        (&[], &[("SWITCHBOARD_TLS_CLIENT_AUTH", "required")]),
        (&[], &[("SWITCHBOARD_TLS_SOURCE", "connect"), ("SWITCHBOARD_UPSTREAM_TLS_CA", "ca.pem")]),
        (&[], &[("SWITCHBOARD_UPSTREAM_TLS_CERT", "c.pem"), ("SWITCHBOARD_UPSTREAM_TLS_KEY", "k.pem")]),
    ] {
        assert_eq!(problems(args, vars).len(), 1, "{args:?} {vars:?}");
    }
}

#[test]
fn consul_connect_stands_for_all_files() {
    let vars = [("SWITCHBOARD_TLS_SOURCE", "connect"), ("SWITCHBOARD_AUTH", "any")];
    let config = running(&[], &vars);
    assert!(config.serves_tls() && config.calls_by_tls());
    running(&[], &[vars[0], ("SWITCHBOARD_TLS_CLIENT_AUTH", "required")]);
}

#[test]
fn a_file_that_is_none_says_so() {
    assert!(matches!(check(&["--config", "/nowhere"], &[]), Err(Error::File { .. })));
    let file = file("grpc = ");
    let path = file.path().to_str().unwrap();
    assert!(matches!(check(&["--config", path], &[]), Err(Error::File { .. })));
    assert!(matches!(check(&["--nonsense"], &[]), Err(Error::Usage(_))));
}

#[test]
fn subcommands_and_the_print_flag_are_told_apart() {
    assert!(matches!(check(&["healthcheck"], &[]), Ok(Command::Healthcheck(addr)) if addr == DEFAULT_ADMIN));
    assert!(matches!(
        check(&["healthcheck", "--admin", "127.0.0.1:7"], &[]),
        Ok(Command::Healthcheck(addr)) if addr.port() == 7
    ));
    assert!(matches!(check(&["config"], &[]), Ok(Command::Print(_))));
    assert!(matches!(check(&["--print-config"], &[]), Ok(Command::Print(_))));
}

#[test]
fn what_is_printed_is_read_again_as_the_same_and_holds_no_secret() {
    let vars = [("CONSUL_HTTP_TOKEN", "s3cret"), ("SWITCHBOARD_DRAIN_LIMIT", "90s")];
    let config = running(&["--advertise", "10.0.0.7", "--log-format", "json"], &vars);
    let printed = config.to_toml();
    assert!(!printed.contains("s3cret") && printed.contains("(redacted)"), "{printed}");
    let file = file(&printed);
    let again = running(&["--config", file.path().to_str().unwrap()], &vars);
    assert_eq!(again.effective(), config.effective());
    assert!(!format!("{config:?}").contains("s3cret"));
}

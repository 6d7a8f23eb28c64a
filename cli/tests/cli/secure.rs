//! Calls over TLS: what is shown, what is believed, and what is said when either is not good.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use switchboard_backend::{ClientAuth, Mode, PolicySettings, RegistryConfig, Running, ServerTls};
use switchboard_transport::authority::{Authority, Subject};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::process::{Finished, run};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// An echo agent that speaks TLS, and asks who calls.
struct Locked {
    _runtime: Runtime,
    running: Running,
    authority: Authority,
    dir: TempDir,
}

impl Locked {
    fn start() -> Self {
        Self::start_as(&Subject::service("agent-echo"))
    }

    fn start_as(subject: &Subject) -> Self {
        let authority = Authority::new("test authority", Duration::from_secs(3600)).expect("names are good");
        let dir = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).expect("written");
            path
        };
        let own = authority.issue(subject).expect("names are good");
        let someone = authority.issue(&Subject::new("someone")).expect("names are good");
        let client_ca = Some(write("ca.pem", &authority.issued().cert));
        write("someone.pem", &someone.cert);
        write("someone.key", &someone.key);
        write("someone.token", &format!("{TOKEN}\n"));
        write("wrong.token", "wrong\n");
        let tokens = write(
            "tokens.toml",
            &format!("[[tokens]]\ntoken = \"{TOKEN}\"\nname = \"someone\"\nroles = [\"caller\"]\n"),
        );
        let tls = ServerTls {
            cert: write("echo.pem", &own.cert),
            key: write("echo.key", &own.key),
            client_ca,
            client_auth: ClientAuth::Optional,
        };
        let settings = PolicySettings { mode: Mode::Any, tokens: Some(tokens), ..PolicySettings::default() };
        let runtime = Runtime::new().expect("threads can be had");
        let backend = echo_agent::backend()
            .tls(tls)
            .policy(settings)
            .listen(SocketAddr::from(([127, 0, 0, 1], 0)))
            .registry(RegistryConfig::at("127.0.0.1:9").expect("an address"));
        let running = runtime.block_on(backend.start()).expect("port 0 is free");
        Self { _runtime: runtime, running, authority, dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Calls with these flags, of which `@name` is a file's.
    fn call(&self, flags: &[&str]) -> Finished {
        let path = |name: &str| self.path(name).display().to_string();
        let words = flags.iter().map(|flag| match flag.split_once('/') {
            Some(("", name)) => path(name),
            Some(("@", name)) => format!("@{}", path(name)),
            _ => (*flag).to_owned(),
        });
        let endpoint = self.running.addr().to_string();
        let own = ["--endpoint", &endpoint, "call", "echo-agent", "hello"].map(str::to_owned);
        run(own.into_iter().chain(words))
    }
}

#[test]
fn a_certificate_or_a_token_opens_the_door() {
    let locked = Locked::start();
    let shown = locked.call(&["--ca", "/ca.pem", "--cert", "/someone.pem", "--key", "/someone.key"]);
    assert_eq!(shown.output(), "Echo: hello\n");
    let told = locked.call(&["--ca", "/ca.pem", "--token", "@/someone.token"]);
    assert_eq!(told.output(), "Echo: hello\n");
}

#[test]
fn without_proof_the_way_to_one_is_told() {
    let locked = Locked::start();
    let said = locked.call(&["--ca", "/ca.pem"]).failure(16);
    assert!(said.contains("UNAUTHENTICATED") && said.contains("--token @FILE"), "{said}");
    let said = locked.call(&["--ca", "/ca.pem", "--token", "@/wrong.token"]).failure(16);
    assert!(said.contains("token") && !said.contains(TOKEN), "{said}");
}

#[test]
fn each_failure_of_tls_says_what_to_do() {
    let locked = Locked::start();
    let said = locked.call(&["--ca", "/someone.pem"]).failure(14);
    assert!(said.contains("unknown authority") && said.contains("--ca"), "{said}");
    // How a port that wants TLS hangs up on somebody who speaks in clear differs from time to time.
    let said = locked.call(&[]);
    assert!(said.code != Some(0) && said.stderr.contains("https://"), "{said:?}");

    let expired = Subject { lifetime: Duration::ZERO, ..Subject::service("agent-echo") };
    let said = Locked::start_as(&expired).call(&["--ca", "/ca.pem"]).failure(14);
    assert!(said.contains("has expired") && said.contains("renewed"), "{said}");

    let elsewhere = Subject { hosts: vec!["mesh.example.org".to_owned()], ..Subject::new("x") };
    let said = Locked::start_as(&elsewhere).call(&["--ca", "/ca.pem"]).failure(14);
    assert!(said.contains("another name") && said.contains("mesh.example.org"), "{said}");

    let late = locked.authority.issue(&Subject { lifetime: Duration::ZERO, ..Subject::new("late") });
    let late = late.expect("names are good");
    fs::write(locked.path("late.pem"), late.cert).expect("written");
    fs::write(locked.path("late.key"), late.key).expect("written");
    let said = locked.call(&["--ca", "/ca.pem", "--cert", "/late.pem", "--key", "/late.key"]);
    // Its refusal may be overtaken by the end of the connection.
    assert!(said.code != Some(0) && said.stderr.contains("refuses our certificate"), "{said:?}");
}

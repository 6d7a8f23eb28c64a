//! The commands of README.md under "Workflows" and "Secure it", run as they stand there.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::Path;

use crate::process::{Dev, shell};

/// The shell commands of a section, block after block.
fn commands(section: &str) -> Vec<Vec<String>> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let text = fs::read_to_string(readme).unwrap();
    let (_, rest) = text.split_once(&format!("\n## {section}\n")).unwrap();
    let section = rest.split("\n## ").next().unwrap();
    let blocks = section.split("```sh\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap().lines().map(str::to_owned).collect()).collect()
}

#[test]
fn a_secured_mesh_takes_the_commands_of_the_readme() {
    let dir = tempfile::tempdir().unwrap();
    let blocks = commands("Secure it");
    let [server, client] = blocks.as_slice() else { panic!("{blocks:?}") };
    let [init, dev] = server.as_slice() else { panic!("{server:?}") };
    assert_eq!(shell(dir.path(), init).code, Some(0));
    assert!(dev.starts_with("switchboard dev --secure certs"), "{dev}");
    let certs = dir.path().join("certs");
    let dev = Dev::start(&["--secure", certs.to_str().unwrap(), "--backends", "echo"]);

    let (settings, calls) = client.split_first().unwrap();
    let settings = settings.replace("127.0.0.1:50051", dev.address("grpc"));
    assert!(settings.starts_with("export ") && calls.len() == 3, "{client:?}");
    for call in calls {
        let (_, promised) = call.rsplit_once("# ").unwrap();
        let done = shell(dir.path(), &format!("{settings}; {call}"));
        match promised {
            "UNAUTHENTICATED" => assert!(done.code == Some(16) && done.stderr.contains(promised), "{done:?}"),
            _ => assert_eq!((done.code, done.stdout.trim()), (Some(0), promised), "{call}: {done:?}"),
        }
    }
}

#[test]
fn the_engine_takes_the_commands_of_the_readme() {
    let blocks = commands("Workflows");
    let [lines] = blocks.as_slice() else { panic!("{blocks:?}") };
    let dev = Dev::start(&[]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let [run, list, schedule, status] = lines.as_slice() else { panic!("{lines:?}") };
    let said = |line: &str| {
        let endpoint = format!("export SWITCHBOARD_ENDPOINT=http://{}", dev.address("grpc"));
        let done = shell(&root, &format!("{endpoint}; {line}"));
        assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{line}: {done:?}");
        done.stdout
    };
    let ran = said(run);
    assert!(ran.contains("workflow COMPLETED") && ran.contains("announce: Echo: "), "{ran}");
    assert!(said(list).contains("itinerary  COMPLETED  3/3"));
    assert!(said(schedule).contains("morning-weather"));
    assert!(said(status).contains("completed"), "{}", said(status));
}

//! Every shape is answered without an error.

use crate::process::{Backend, good_load};
use std::time::Duration;
use switchboard_transport::authority::{Authority, Subject};

const SHAPES: [&str; 9] = [
    "--connections 2 --streams 8",
    "--connections 2 --streams 2 --bytes 40000",
    "--connections 2 --streams 2 --unique-headers 3",
    "--connections 2 --streams 2 --ids 100",
    "--shape burst --connections 2 --streams 3 --messages 20",
    "--shape burst --streams 2 --messages 3 --bytes 100000",
    "--shape paced --connections 2 --streams 4 --messages 5 --interval-us 2000",
    "--shape upload --connections 2 --streams 2 --bytes 3000000",
    "--shape download --connections 2 --streams 2 --bytes 3000000",
];

#[test]
fn every_shape_is_answered() {
    let backend = Backend::start("");
    for args in SHAPES {
        let figures = good_load(backend.address, args);
        assert!(figures["messages"].as_u64().unwrap() > 0, "{args}: {figures}");
        assert!(figures["max_us"].as_u64() >= figures["p50_us"].as_u64());
    }
}

#[test]
fn every_shape_is_answered_by_tls() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let authority = Authority::new("bench", Duration::from_secs(3600)).unwrap();
    let issued = authority.issue(&Subject::service("agent-bench")).unwrap();
    let files = [("ca", &authority.issued().cert), ("cert", &issued.cert), ("key", &issued.key)];
    for (name, text) in files {
        std::fs::write(file(name), text).unwrap();
    }
    let backend = Backend::start(&format!("--tls-cert {} --tls-key {}", file("cert"), file("key")));
    let tls = format!("--tls-ca {} --tls-name localhost", file("ca"));
    for args in SHAPES {
        let figures = good_load(backend.address, &format!("{args} {tls}"));
        assert!(figures["messages"].as_u64().unwrap() > 0, "{args}: {figures}");
    }
}

#[test]
fn an_open_loop_keeps_to_its_rate() {
    let backend = Backend::start("");
    let figures = good_load(backend.address, "--connections 2 --streams 100 --rate 500");
    let calls = figures["calls"].as_u64().unwrap();
    let due = 500.0 * figures["seconds"].as_f64().unwrap();
    assert!(calls > 0 && calls as f64 <= due + 1.0, "{calls} calls, {due} were due");
}

#[test]
fn processes_are_observed() {
    let backend = Backend::start("");
    let pids = format!("{},{}", backend.process.id(), std::process::id());
    let figures = good_load(backend.address, &format!("--streams 8 --observe {pids}"));
    assert_eq!(figures["observed"][0]["pid"], backend.process.id());
    assert_eq!(figures["observed"][1]["pid"], std::process::id());
    for field in ["cpu_ns", "rss_kib", "peak_kib"] {
        assert!(figures["observed"][0][field].as_u64().unwrap() > 0, "{field}: {figures}");
    }
    assert!(figures["load_cpu_ns"].as_u64().unwrap() > 0);
}

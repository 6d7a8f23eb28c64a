//! Certificates that change on disk.

use super::*;
use std::{net::SocketAddr, path::Path};
use switchboard_transport::authority::{Authority, Issued, Subject};
use tempfile::TempDir;

struct Setup {
    dir: TempDir,
    authority: Authority,
    metrics: Arc<Metrics>,
    files: Files,
}

fn write(dir: &Path, issued: &Issued) {
    fs::write(dir.join("cert.pem"), &issued.cert).unwrap();
    fs::write(dir.join("key.pem"), &issued.key).unwrap();
}

fn setup() -> Setup {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new("test", Duration::from_secs(3_600)).unwrap();
    fs::write(dir.path().join("ca.pem"), &authority.issued().cert).unwrap();
    write(dir.path(), &authority.issue(&Subject::service("router")).unwrap());
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut config = Config::new(any, any, switchboard_registry::Config::default());
    config.tls_cert = Some(dir.path().join("cert.pem"));
    config.tls_key = Some(dir.path().join("key.pem"));
    config.upstream_tls_ca = Some(dir.path().join("ca.pem"));
    let metrics = Arc::new(Metrics::default());
    let (files, certificates) = Files::open(&config, metrics.clone()).unwrap();
    assert!(certificates.server.is_some() && certificates.client.is_some());
    Setup { dir, authority, metrics, files }
}

impl Setup {
    fn counts(&self) -> (u64, u64) {
        (self.metrics.tls.reloads.load(Relaxed), self.metrics.tls.reload_failures.load(Relaxed))
    }

    fn expiry(&self, role: Role) -> i64 {
        self.metrics.tls.of(role).expiry.load(Relaxed)
    }
}

#[test]
fn a_new_pair_is_taken_up_once_and_its_end_is_shown() {
    let mut it = setup();
    let before = it.expiry(Role::Downstream);
    assert!(it.files.look(false).is_none());
    let subject = Subject { lifetime: Duration::from_secs(99_999), ..Subject::service("router") };
    write(it.dir.path(), &it.authority.issue(&subject).unwrap());
    assert!(it.files.look(false).is_some());
    assert!(it.files.look(false).is_none());
    assert_eq!(it.counts(), (1, 0));
    assert!(it.expiry(Role::Downstream) > before && it.expiry(Role::Upstream) > before);
}

#[test]
fn a_pair_of_which_only_half_is_there_yet_is_waited_for_in_silence() {
    let mut it = setup();
    let next = it.authority.issue(&Subject::service("router")).unwrap();
    fs::write(it.dir.path().join("cert.pem"), &next.cert).unwrap();
    assert!(it.files.look(false).is_none());
    fs::write(it.dir.path().join("key.pem"), &next.key).unwrap();
    assert!(it.files.look(false).is_some());
    assert_eq!(it.counts(), (1, 0));
}

#[test]
fn a_broken_file_keeps_the_former_ones_and_is_counted_once() {
    let mut it = setup();
    fs::write(it.dir.path().join("cert.pem"), "nothing").unwrap();
    for _ in 0..4 {
        assert!(it.files.look(false).is_none());
    }
    assert_eq!(it.counts(), (0, 1));
    fs::remove_file(it.dir.path().join("ca.pem")).unwrap();
    assert!(it.files.look(true).is_none());
    assert_eq!(it.counts(), (0, 2));
    fs::write(it.dir.path().join("ca.pem"), &it.authority.issued().cert).unwrap();
    write(it.dir.path(), &it.authority.issue(&Subject::service("router")).unwrap());
    assert!(it.files.look(false).is_some());
    assert_eq!(it.counts(), (1, 2));
}

#[test]
fn a_pair_that_is_put_back_is_no_failure() {
    let mut it = setup();
    let cert = fs::read(it.dir.path().join("cert.pem")).unwrap();
    fs::write(it.dir.path().join("cert.pem"), "nothing").unwrap();
    assert!(it.files.look(false).is_none());
    fs::write(it.dir.path().join("cert.pem"), cert).unwrap();
    assert!(it.files.look(false).is_none());
    assert_eq!(it.counts(), (0, 0));
}

#[test]
fn the_first_set_must_be_good() {
    let it = setup();
    fs::write(it.dir.path().join("key.pem"), "nothing").unwrap();
    let mut config = Config::new(
        ([127, 0, 0, 1], 0).into(),
        ([127, 0, 0, 1], 0).into(),
        switchboard_registry::Config::default(),
    );
    config.tls_cert = Some(it.dir.path().join("cert.pem"));
    config.tls_key = Some(it.dir.path().join("key.pem"));
    let error = Files::open(&config, it.metrics.clone()).unwrap_err().to_string();
    assert!(error.contains("key.pem"), "{error}");
}

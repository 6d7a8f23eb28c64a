//! What a change of files does.

use crate::fixture::{Pki, SOON, replace};
use std::fs;
use std::time::Duration;
use switchboard_transport::authority::Subject;
use switchboard_transport::{ClientAuth, RELOAD_INTERVAL, Watched};
use tokio::time::timeout;

/// Waits until what is counted reaches this.
async fn reaches(count: impl Fn() -> u64, wanted: u64) {
    let reached = async {
        while count() < wanted {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, reached).await.expect("counted in time");
}

/// The number in a file.
fn number(pki: &Pki) -> Result<Watched<u32>, std::io::Error> {
    let path = pki.path("number");
    Watched::start("the number", vec![path.clone()], RELOAD_INTERVAL, move || {
        fs::read_to_string(&path)?.trim().parse::<u32>().map_err(std::io::Error::other)
    })
}

#[tokio::test(start_paused = true)]
async fn a_change_is_loaded_and_everybody_who_follows_hears_of_it() {
    let pki = Pki::new();
    replace(&pki.path("number"), "1");
    let watched = number(&pki).unwrap();
    let mut follower = watched.receiver();
    assert_eq!(*watched.newest(), 1);

    replace(&pki.path("number"), "2");
    timeout(SOON, follower.changed()).await.expect("noticed").unwrap();
    assert_eq!((**follower.borrow_and_update(), *watched.newest()), (2, 2));
    assert_eq!((watched.reloads(), watched.failures()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_leaves_the_former_state_in_force_and_is_counted_once() {
    let pki = Pki::new();
    replace(&pki.path("number"), "1");
    let watched = number(&pki).unwrap();

    replace(&pki.path("number"), "one");
    reaches(|| watched.failures(), 1).await;
    tokio::time::sleep(RELOAD_INTERVAL * 5).await;
    assert_eq!((*watched.newest(), watched.reloads(), watched.failures()), (1, 0, 1));

    fs::remove_file(pki.path("number")).unwrap();
    reaches(|| watched.failures(), 2).await;
    assert_eq!(*watched.newest(), 1);

    replace(&pki.path("number"), "3");
    reaches(|| watched.reloads(), 1).await;
    assert_eq!((*watched.newest(), watched.failures()), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn a_file_written_anew_with_the_same_content_is_no_change() {
    let pki = Pki::new();
    replace(&pki.path("number"), "1");
    let watched = number(&pki).unwrap();
    let before = watched.newest();
    replace(&pki.path("number"), "1");
    tokio::time::sleep(RELOAD_INTERVAL * 5).await;
    assert!(std::sync::Arc::ptr_eq(&before, &watched.newest()));
    assert_eq!(watched.reloads(), 0);
}

#[tokio::test]
async fn a_trigger_looks_at_once() {
    let pki = Pki::new();
    replace(&pki.path("number"), "1");
    let path = pki.path("number");
    let never = Duration::from_secs(1 << 30);
    let watched = Watched::start("the number", vec![path.clone()], never, move || {
        fs::read_to_string(&path)?.parse::<u32>().map_err(std::io::Error::other)
    })
    .unwrap();
    replace(&pki.path("number"), "2");
    watched.trigger();
    reaches(|| watched.reloads(), 1).await;
    assert_eq!(*watched.newest(), 2);
}

#[tokio::test]
async fn a_first_state_that_cannot_be_loaded_is_an_error() {
    number(&Pki::new()).expect_err("there is no file");
}

#[tokio::test(start_paused = true)]
async fn a_certificate_whose_key_is_not_there_yet_waits_for_it() {
    let pki = Pki::new();
    let subject = Subject::service("agent-echo");
    let tls = pki.server(&subject, ClientAuth::Optional);
    let watched = tls.clone().watch(RELOAD_INTERVAL).unwrap();
    let before = watched.newest().own.clone().unwrap();

    let new = pki.authority.issue(&subject).unwrap();
    replace(&tls.cert, &new.cert);
    reaches(|| watched.failures(), 1).await;
    assert_eq!(watched.newest().own.as_ref(), Some(&before), "the old pair still serves");

    replace(&tls.key, &new.key);
    reaches(|| watched.reloads(), 1).await;
    let after = watched.newest();
    assert_ne!(after.own.as_ref().unwrap().serial, before.serial);
    assert!(after.expires_in_s().is_some_and(|left| (1..=24 * 3600).contains(&left)));
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_cut_off_in_the_middle_is_not_taken() {
    let pki = Pki::new();
    let watched = pki.client(Some(&Subject::new("someone"))).watch(RELOAD_INTERVAL).unwrap();
    let ca = fs::read_to_string(pki.path("ca.pem")).unwrap();
    for bad in ["", &ca[..ca.len() / 2], "no certificate\n"] {
        let failures = watched.failures();
        replace(&pki.path("ca.pem"), bad);
        reaches(|| watched.failures(), failures + 1).await;
    }
    assert_eq!(watched.reloads(), 0);
}

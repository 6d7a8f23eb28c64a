//! A principal on its way from the router to a backend: whatever its name, it arrives as it was, and as one header.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use proptest::prelude::*;
use switchboard_policy::{MAX_NAME_BYTES, MAX_ROLES, Principal, Proof};

fn sent(name: &str, roles: &[&str]) -> (String, String) {
    let principal = Principal::new(name, roles.iter().copied(), Proof::Jwt).unwrap();
    (principal.name_header(), principal.roles_header())
}

#[test]
fn usual_names_stay_readable() {
    let (name, roles) = sent("spiffe://switchboard/svc/agent-echo", &["caller", "operator"]);
    assert_eq!((&*name, &*roles), ("spiffe://switchboard/svc/agent-echo", "caller,operator"));
    let (name, roles) = sent("Zoë 100%", &["a,b", "c"]);
    assert_eq!((&*name, &*roles), ("Zo%C3%AB%20100%25", "a%2Cb,c"));
}

#[test]
fn what_no_principal_may_be_is_refused_on_arrival() {
    let long = "a".repeat(MAX_NAME_BYTES + 1);
    for name in ["", "%", "%4", "%zz", "%FF", "a%0Db", "a%00", &long] {
        assert!(Principal::from_headers(name.as_bytes(), None).is_err(), "{name}");
    }
    let many: Vec<_> = (0..=MAX_ROLES).map(|at| at.to_string()).collect();
    for roles in ["%0A", "%", &many.join(",")] {
        assert!(Principal::from_headers(b"ann", Some(roles.as_bytes())).is_err(), "{roles}");
    }
    let ann = Principal::from_headers(b"ann", Some(b"")).unwrap();
    assert_eq!((&*ann.name, ann.roles.len(), ann.proof), ("ann", 0, Proof::Router));
}

proptest! {
    #[test]
    fn it_arrives_as_it_was(name in "[^\\pC]{1,60}", roles in prop::collection::vec("[^\\pC]{1,20}", 0..8)) {
        let principal = Principal::new(&name, roles.iter().map(String::as_str), Proof::Router).unwrap();
        let (name, roles) = (principal.name_header(), principal.roles_header());
        prop_assert!(name.bytes().chain(roles.bytes()).all(|byte| byte.is_ascii_graphic()));
        prop_assert_eq!(Principal::from_headers(name.as_bytes(), Some(roles.as_bytes())), Ok(principal));
    }

    #[test]
    fn no_header_makes_it_panic(name: Vec<u8>, roles: Vec<u8>) {
        let _ = Principal::from_headers(&name, Some(&roles));
    }
}

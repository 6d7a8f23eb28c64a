//! The rights that hold without a file: those of the roles, and of callers that proved nothing.

use switchboard_policy::{Mode, Policy, Reason, is_administrative};

use crate::*;

const STOP: &str = "/any.package.AdminService/Stop";
const GET: &str = "/any.package.AdminService/GetConfig";
const LANES: &str = "/goclaw.v1.OperatorService/ListLanes";
const POLL: &str = "/goclaw.v1.WorkerService/PollTasks";
const REQUEUE: &str = "/goclaw.v1.OperatorService/RequeueWorkflows";
const REFLECT: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const HEALTH: &str = "/grpc.health.v1.Health/Check";

#[test]
fn roles_have_the_rights_that_their_names_say() {
    let without = Policy::load(None, Mode::Any).unwrap();
    // A rule about somebody else: there are rules, so that only built-in rights are left.
    let with = policy("[[rules]]\nallow = [\"somebody else\"]\n");
    // Role; then the right, with and without a file, to: call an ID, list, reflect, register, administer, read.
    let table = [
        ("admin", [true; 6], [true; 6]),
        ("operator", [false, true, true, false, false, true], [true, true, true, false, false, true]),
        ("backend", [false, true, false, true, false, false], [true, true, true, true, false, false]),
        ("caller", [true, true, true, false, false, false], [true, true, true, false, false, false]),
        ("other", [false; 6], [true, true, true, false, false, false]),
    ];
    let calls = [
        ("echo-agent", EXECUTE_TASK),
        ("router", LIST_AGENTS),
        ("router", REFLECT),
        ("router", REGISTER_AGENT),
        ("router", STOP),
        ("echo-agent", GET),
    ];
    for (role, rights_with, rights_without) in table {
        for (at, (id, path)) in calls.into_iter().enumerate() {
            assert_eq!(
                decide(&with, "ann", &[role], id, path).0,
                rights_with[at],
                "{role} {path} with rules"
            );
            assert_eq!(
                decide(&without, "ann", &[role], id, path).0,
                rights_without[at],
                "{role} {path} without"
            );
        }
    }
    // A list of an ID that is not the router is a call like any other.
    assert!(!decide(&with, "ann", &["operator"], "echo-agent", LIST_AGENTS).0);
}

#[test]
fn no_rule_gives_what_needs_a_role() {
    let generous = policy("[[rules]]\nallow = [\"*\"]\n");
    assert_eq!(decide(&generous, "ann", &[], "router", REGISTER_AGENT), (false, Reason::NeedsBackend));
    assert_eq!(decide(&generous, "ann", &[], "router", STOP), (false, Reason::NeedsAdmin));
    assert_eq!(decide(&generous, "ann", &["operator"], "router", STOP), (false, Reason::NeedsAdmin));
    assert_eq!(
        decide(&generous, "ann", &["caller"], "workflow-worker", REQUEUE),
        (false, Reason::NeedsAdmin)
    );
    assert_eq!(decide(&generous, "ann", &["operator"], "workflow-worker", LANES), (true, Reason::Operator));
    for role in ["caller", "operator"] {
        let pulls = decide(&generous, "ann", &[role], "workflow-worker", POLL);
        assert_eq!(pulls, (false, Reason::NeedsBackend), "others' tasks are in the queues, too");
    }
    assert_eq!(decide(&generous, "ann", &["backend"], "workflow-worker", POLL), (true, Reason::Backend));
    assert!(decide(&generous, "ann", &[], "shop-tool", "/shop.OperatorService/Open").0);
    // Kept in the audit log, and everybody's right all the same.
    assert!(decide(&generous, "ann", &[], "workflow-worker", "/goclaw.v1.ScheduleService/CreateSchedule").0);
    assert_eq!(decide(&generous, "ann", &[], "echo-agent", REGISTER_AGENT), (false, Reason::NeedsBackend));
    // A user's own method is not the platform's.
    assert!(decide(&generous, "ann", &[], "shop-tool", "/shop.Users/RegisterUser").0);
    assert!(!decide(&generous, "ann", &[], "router", "/shop.Users/RegisterUser").0);
}

#[test]
fn who_proved_nothing_may_ask_for_health_only() {
    let policies = [
        Policy::load(None, Mode::Any).unwrap(),
        Policy::load(None, Mode::Both).unwrap(),
        policy("[[rules]]\nallow = [\"*\"]\n"),
    ];
    for policy in policies {
        let nobody = policy.grants(None, None);
        assert_eq!(nobody.decide("router", HEALTH).reason, Reason::Health);
        assert!(nobody.decide("router", HEALTH).allowed);
        for (id, path) in [("echo-agent", HEALTH), ("router", LIST_AGENTS), ("echo-agent", EXECUTE_TASK)] {
            let decision = nobody.decide(id, path);
            assert_eq!((decision.allowed, decision.reason), (false, Reason::Anonymous), "{id} {path}");
        }
        assert!(!nobody.may_register("agent-echo"));
    }
}

#[test]
fn words_of_reasons_are_labels() {
    let mut words: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    words.extend(switchboard_policy::DenialKind::ALL.iter().map(|kind| kind.as_str()));
    assert!(words.iter().all(|word| word.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase())));
    let count = words.len();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), count);
}

#[test]
fn what_needs_a_role_is_administration_whatever_it_hides_behind() {
    for (id, path) in [
        ("router", REGISTER_AGENT),
        ("echo-agent", REGISTER_AGENT),
        ("router", "/shop.Users/RegisterUser"),
        ("echo-agent", STOP),
        ("router", GET),
        ("router", "/AdminService/Stop"),
        ("router", "/x.AdminService/Stop?/x.Other/Get"),
        ("workflow-worker", REQUEUE),
        ("workflow-worker", "/goclaw.v1.ScheduleService/CreateSchedule"),
    ] {
        assert!(is_administrative(id, path), "{id} {path}");
    }
    for (id, path) in [
        ("router", LIST_AGENTS),
        ("router", HEALTH),
        ("echo-agent", EXECUTE_TASK),
        ("shop-tool", "/shop.Users/RegisterUser"),
        ("echo-agent", "/x.NoAdminService/Stop"),
        ("workflow-worker", "/goclaw.v1.ScheduleService/ListSchedules"),
    ] {
        assert!(!is_administrative(id, path), "{id} {path}");
    }
}

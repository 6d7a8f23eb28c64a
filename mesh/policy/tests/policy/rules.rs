//! The rules of a file: who, IDs and methods must all fit; deny wins; what no rule allows is denied.

use switchboard_policy::{Mode, Policy, Reason};

use crate::*;

#[test]
fn with_rules_only_what_one_allows_is_allowed() {
    let policy = policy(
        r#"
        [[rules]]
        name = "planners may call tools"
        allow = ["role:planner", "spiffe://switchboard/svc/agent-*"]
        ids = ["*-tool"]
        methods = ["/agentplatform.ToolService/*"]
        "#,
    );
    let cases = [
        ("ann", &["planner"][..], "weather-tool", EXECUTE_TOOL, true),
        ("spiffe://switchboard/svc/agent-echo", &[], "weather-tool", EXECUTE_TOOL, true),
        ("spiffe://switchboard/svc/tool-x", &[], "weather-tool", EXECUTE_TOOL, false),
        ("ann", &["Planner"], "weather-tool", EXECUTE_TOOL, false),
        // A name is no role, though it may look like one.
        ("role:planner", &[], "weather-tool", EXECUTE_TOOL, false),
        ("planner", &[], "weather-tool", EXECUTE_TOOL, false),
        ("ann", &["planner"], "echo-agent", EXECUTE_TOOL, false),
        ("ann", &["planner"], "weather-tool", EXECUTE_TASK, false),
        ("ann", &["planner"], "Weather-Tool", "/agentplatform.toolservice/ExecuteTool", false),
        ("ann", &[], "weather-tool", EXECUTE_TOOL, false),
        ("ann", &["planner"], "router", LIST_AGENTS, false),
    ];
    for (name, roles, id, path, expected) in cases {
        let (allowed, reason) = decide(&policy, name, roles, id, path);
        let right = if expected { Reason::Allowed } else { Reason::NoRuleAllows };
        assert_eq!((allowed, reason), (expected, right), "{name} {roles:?} {id} {path}");
    }
}

#[test]
fn deny_wins_whatever_the_order() {
    let allow = "[[rules]]\nname = \"yes\"\nallow = [\"*\"]\n";
    let deny = "[[rules]]\nname = \"no\"\ndeny = [\"role:intern\"]\nids = [\"billing-*\"]\n";
    for text in [format!("{allow}{deny}"), format!("{deny}{allow}")] {
        let policy = policy(&text);
        let ann = policy.grants(Some(&principal("ann", &["intern", "caller"])), None);
        let denied = ann.decide("billing-tool", EXECUTE_TOOL);
        assert_eq!((denied.allowed, denied.reason, denied.rule), (false, Reason::Denied, Some("no")));
        let allowed = ann.decide("weather-tool", EXECUTE_TOOL);
        assert!(allowed.allowed, "{allowed:?}");
        let bob = policy.grants(Some(&principal("bob", &[])), None);
        assert_eq!(bob.decide("billing-tool", EXECUTE_TOOL).rule, Some("yes"));
    }
}

#[test]
fn deny_stands_above_every_role() {
    let policy = policy("[[rules]]\ndeny = [\"mallory\"]\n");
    for role in ["admin", "operator", "backend", "caller"] {
        for (id, path) in [("echo-agent", EXECUTE_TASK), ("router", REGISTER_AGENT), ("router", LIST_AGENTS)]
        {
            assert_eq!(
                decide(&policy, "mallory", &[role], id, path),
                (false, Reason::Denied),
                "{role} {path}"
            );
        }
    }
    assert_eq!(decide(&policy, "ann", &["admin"], "echo-agent", EXECUTE_TASK), (true, Reason::Admin));
}

#[test]
fn a_method_may_be_written_in_every_usual_way() {
    for methods in [
        "/agentplatform.ToolService/ExecuteTool",
        "agentplatform.ToolService/ExecuteTool",
        "/agentplatform.ToolService/*",
        "/agentplatform.ToolService",
        "agentplatform.ToolService",
        "agentplatform.ToolService/",
        "agentplatform.*",
        "*/ExecuteTool",
        "*",
    ] {
        let policy = policy(&format!("[[rules]]\nallow = [\"*\"]\nmethods = [\"{methods}\"]\n"));
        assert!(decide(&policy, "ann", &[], "weather-tool", EXECUTE_TOOL).0, "{methods}");
        let only_tools = methods != "*" && methods != "agentplatform.*";
        assert_eq!(!decide(&policy, "ann", &[], "weather-tool", EXECUTE_TASK).0, only_tools, "{methods}");
    }
    let policy = policy("[[rules]]\nallow = [\"*\"]\nmethods = [\"agentplatform.Tool\"]\n");
    assert!(!decide(&policy, "ann", &[], "weather-tool", EXECUTE_TOOL).0);
}

#[test]
fn odd_paths_gain_nothing() {
    let policy = policy("[[rules]]\nallow = [\"*\"]\nmethods = [\"/agentplatform.ToolService/*\"]\n");
    let odd = [
        "",
        "/",
        "//",
        "agentplatform.ToolService/ExecuteTool",
        "//agentplatform.ToolService/ExecuteTool",
        "/x/agentplatform.ToolService/ExecuteTool",
        "/agentplatform.ToolService",
        "/AGENTPLATFORM.ToolService/ExecuteTool",
    ];
    for path in odd {
        assert_eq!(decide(&policy, "ann", &[], "weather-tool", path).1, Reason::NoRuleAllows, "{path:?}");
    }
    // What has more parts is still an admin's method, for those who look at its end as for those who look at its start.
    for path in ["/x/foo.AdminService/Do", "foo.AdminService/Do", "/AdminService/Do", "//foo.AdminService/Do"]
    {
        assert_eq!(decide(&policy, "ann", &["caller"], "x-agent", path).1, Reason::NeedsAdmin, "{path:?}");
    }
}

#[test]
fn a_query_hides_no_method() {
    let policy = policy("[[rules]]\ndeny = [\"*\"]\nmethods = [\"*/ExecuteTask\"]\n");
    for end in ["", "?", "?x=1", "#x", "?/agentplatform.ToolService/ExecuteTool"] {
        let path = format!("{EXECUTE_TASK}{end}");
        assert_eq!(decide(&policy, "ann", &["caller"], "echo-agent", &path).1, Reason::Denied, "{path}");
    }
    let stop = "/x.AdminService?/x.Other/Get";
    assert_eq!(decide(&policy, "ann", &["caller"], "echo-agent", stop).1, Reason::NeedsAdmin);
}

#[test]
fn where_nobody_is_asked_everything_is_open() {
    let open = Policy::load(None, Mode::None).unwrap();
    for path in [EXECUTE_TOOL, REGISTER_AGENT, "/x.AdminService/Stop", ""] {
        let grants = open.grants(None, None);
        assert_eq!((grants.decide("x", path).allowed, grants.decide("x", path).reason), (true, Reason::Open));
        assert!(grants.may_register("agent-echo"));
    }
}

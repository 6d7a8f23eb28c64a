//! What is said of a decision, for people who wonder.

use crate::*;

#[test]
fn every_rule_that_speaks_of_the_caller_is_shown_and_which_decides() {
    let policy = policy(
        r#"
        [[rules]]
        name = "planners may call tools"
        allow = ["role:planner"]
        ids = ["*-tool"]
        [[rules]]
        allow = ["*"]
        ids = ["echo-agent"]
        [[rules]]
        name = "billing is closed"
        deny = ["role:planner"]
        ids = ["billing-tool"]
        [[rules]]
        name = "others"
        allow = ["bob"]
        "#,
    );
    let ann = principal("ann", &["planner"]);
    let expected = "\
\"ann\" may not call /agentplatform.ToolService/ExecuteTool of \"billing-tool\"
decided by: the rule \"billing is closed\"
rules: 4, of which 3 speak of this principal
  allow \"planners may call tools\": covers the call, but does not decide
  allow \"rule 2\": is about other calls
  deny \"billing is closed\": covers the call and decides
";
    assert_eq!(policy.explain(&ann, "billing-tool", EXECUTE_TOOL), expected);
    let allowed = policy.explain(&ann, "weather-tool", EXECUTE_TOOL);
    assert!(allowed.starts_with("\"ann\" may call ") && allowed.contains("decided by: the rule \"planners"));
    let nothing = policy.explain(&ann, "router", LIST_AGENTS);
    assert!(nothing.contains("decided by: no rule allows it"), "{nothing}");
}

#[test]
fn without_rules_the_built_in_ones_are_named() {
    let policy = policy("");
    let text = policy.explain(&principal("ann", &[]), "router", REGISTER_AGENT);
    assert!(text.contains("may not call") && text.contains("the role backend or admin"), "{text}");
    assert!(text.contains("rules: none"), "{text}");
}

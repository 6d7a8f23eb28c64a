//! What a run measures, by its flags.

use super::*;
use clap::Parser;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
}

fn planned(flags: &str) -> Result<Vec<(&'static str, Vec<&'static str>)>> {
    let args = Command::try_parse_from(std::iter::once("run").chain(flags.split_whitespace()))?.args;
    let plan = plan(&args)?;
    let names = |contenders: &[Contender]| contenders.iter().map(|it| it.name()).collect();
    Ok(plan.iter().map(|(scenario, contenders)| (scenario.name, names(contenders))).collect())
}

#[test]
fn a_full_run_has_every_scenario_with_those_that_fit() {
    let plan = planned("").unwrap();
    assert_eq!(plan.len(), SCENARIOS.len());
    let clear = ["direct", "haproxy-tcp", "haproxy-http", "nginx", "envoy", "hyper", "tonic", "router"];
    assert_eq!(plan[0], ("unary-8x32", clear.to_vec()));
    let tls = ["haproxy-tls", "nginx-tls", "envoy-tls", "router-tls"];
    assert_eq!(plan.last().unwrap(), &("tls-burst", tls.to_vec()));
}

#[test]
fn a_quick_run_has_fewer_and_a_named_scenario_is_always_there() {
    assert!(planned("--quick").unwrap().len() < SCENARIOS.len() / 2 + 1);
    let plan = planned("--quick --only upload-10mb --contenders router,direct").unwrap();
    assert_eq!(plan, [("upload-10mb", vec!["direct", "router"])]);
}

#[test]
fn what_cannot_be_is_an_error_before_anything_starts() {
    assert!(planned("--only tls-burst --contenders envoy").unwrap_err().to_string().contains("*-tls"));
    assert!(planned("--only nothing").unwrap_err().to_string().contains("unary-8x32"));
    assert!(planned("--contenders traefik").is_err());
    assert!(planned("--rounds 0").is_err());
}

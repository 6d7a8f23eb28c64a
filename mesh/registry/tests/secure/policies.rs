//! The policies of `consul/policies`: with each its holder can do its work, and with a line less it visibly cannot.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use switchboard_registry::{Client, Error, Lease, LeaseState, Query};
use switchboard_testkit::{LockedConsul, eventually, workspace_root};
use tokio::net::UdpSocket;

use crate::{SOON, client_who, config, locked, register, unchecked};

/// The rules of a policy, one a line.
fn rules(name: &str) -> Vec<String> {
    let path = workspace_root().join("consul/policies").join(name).with_extension("hcl");
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

/// The rules, all of them and then each time without one; with the one that is left out.
fn weakened(name: &str) -> Vec<(String, Option<String>)> {
    let rules = rules(name);
    let without = |left_out: usize| {
        let kept = rules.iter().enumerate().filter(|(at, _)| *at != left_out);
        (kept.map(|(_, rule)| rule.as_str()).collect::<Vec<_>>().join("\n"), Some(rules[left_out].clone()))
    };
    std::iter::once((rules.join("\n"), None)).chain((0..rules.len()).map(without)).collect()
}

/// Each client with such rules, in a Consul with an echo agent.
async fn holders(consul: &LockedConsul, policy: &str) -> Vec<(Client, Option<String>)> {
    let mut holders = Vec::new();
    for (at, (rules, without)) in weakened(policy).into_iter().enumerate() {
        holders.push((client_who(consul, &format!("{policy}-{at}"), &rules).await, without));
    }
    holders
}

/// Registers, verifies and deregisters.
async fn keeps_itself(client: &Client, service: &str, port: u16) -> Result<(), String> {
    let registration = unchecked(service, port);
    let lease = Lease::keep(client.clone(), registration.clone());
    let mut state = lease.state();
    let found = state.wait_for(|state| {
        matches!(state, LeaseState::Registered | LeaseState::Registering { error: Some(_), .. })
    });
    if let LeaseState::Registering { error: Some(error), .. } = &*found.await.unwrap() {
        return Err(error.to_string());
    }
    assert!(client.agent_service(&registration.id).await.unwrap().is_some());
    lease.deregister().await.map_err(|error| error.to_string())
}

async fn reads_everything(client: &Client) -> Result<(), Error> {
    client.leader().await?;
    client.services(&Query::default()).await?;
    let found = client.health("agent-echo", &Query::default()).await?.value;
    assert_eq!(found.len(), 1);
    client.health("agent-unknown", &Query::default()).await.map(drop)
}

#[tokio::test]
async fn a_router_needs_each_line_of_its_policy() {
    let consul = locked("").await;
    register(&consul, "agent-echo", 1..2).await;
    for (client, without) in holders(&consul, "router").await {
        let reads = reads_everything(&client).await;
        let keeps = keeps_itself(&client, "router", 9).await;
        match without.as_deref() {
            None => {
                reads.unwrap();
                keeps.unwrap();
            }
            Some(rule) if rule.starts_with("service \"router\"") => {
                reads.unwrap();
                assert!(keeps.unwrap_err().contains(rule), "names the rule");
            }
            Some(rule) => {
                let error = reads.unwrap_err();
                assert!(
                    matches!(&error, Error::Hidden { .. }) && error.to_string().contains(rule),
                    "{error}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_backend_needs_nothing_but_its_own_name() {
    let consul = locked("connect { enabled = true }").await;
    register(&consul, "agent-echo", 1..2).await;
    for (policy, service) in
        [("agent", "agent-echo"), ("tool", "tool-weather"), ("worker", "worker-itinerary")]
    {
        assert_eq!(rules(policy).len(), 1, "{policy}");
        for (client, without) in holders(&consul, policy).await {
            let keeps = keeps_itself(&client, service, 9).await;
            let leaf = client.connect_leaf(service, 0).await;
            let Some(rule) = without else {
                keeps.unwrap();
                leaf.unwrap();
                // And not a name more: neither to take nor to see.
                assert!(client.register(&unchecked("agent-other", 9)).await.is_err());
                assert!(client.connect_leaf("agent-other", 0).await.is_err());
                assert!(
                    client.deregister(&unchecked("agent-echo", 1).id).await.is_err() || policy == "agent"
                );
                assert!(client.services(&Query::default()).await.is_err());
                continue;
            };
            assert!(keeps.unwrap_err().contains(&rule));
            assert!(leaf.unwrap_err().to_string().contains(&rule));
        }
    }
}

/// Asks Consul's DNS how many instances a service has.
async fn dns_answers(server: SocketAddr, service: &str) -> std::io::Result<u16> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    socket.connect(server).await?;
    // An ID, "recursion desired", one question.
    let mut question = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in [service, "service", "consul"] {
        question.push(u8::try_from(label.len()).unwrap());
        question.extend_from_slice(label.as_bytes());
    }
    // The end of the name, SRV, IN.
    question.extend_from_slice(&[0, 0, 33, 0, 1]);
    socket.send(&question).await?;
    let mut answer = [0; 1500];
    tokio::time::timeout(Duration::from_secs(5), socket.recv(&mut answer)).await??;
    Ok(u16::from_be_bytes([answer[6], answer[7]]))
}

#[tokio::test]
async fn haproxy_finds_routers_by_dns_with_each_line_of_its_policy() {
    let consul = locked("").await;
    register(&consul, "router", 1..3).await;
    register(&consul, "agent-echo", 1..2).await;
    for (at, (rules, without)) in weakened("haproxy-dns").into_iter().enumerate() {
        let token = consul.token(&format!("dns-{at}"), &rules).await.unwrap();
        consul.ask("PUT", "agent/token/default", json!({ "Token": token })).await.unwrap();
        let wanted = if without.is_none() { 2 } else { 0 };
        let look = async || match dns_answers(consul.consul().dns_addr(), "router").await {
            Ok(count) if count == wanted => Ok(()),
            other => Err(other),
        };
        eventually(SOON, look).await.unwrap();
        assert_eq!(dns_answers(consul.consul().dns_addr(), "agent-echo").await.unwrap(), 0, "only routers");
    }
    // Who sends no token has these rights, and is still told that the catalogue is hidden.
    let nobody = Client::new(config(&consul)).unwrap();
    assert!(matches!(nobody.health("agent-echo", &Query::default()).await, Err(Error::Hidden { .. })));
}

#[tokio::test]
async fn intentions_are_written_with_the_policy_for_it() {
    let consul = locked("connect { enabled = true }").await;
    for (at, (rules, without)) in weakened("connect").into_iter().enumerate() {
        let token = consul.token(&format!("connect-{at}"), &rules).await.unwrap();
        let body = json!({
            "SourceName": "router", "DestinationName": "agent-echo", "SourceType": "consul", "Action": "allow"
        });
        let url = format!("http://{}/v1/connect/intentions", consul.http_addr());
        let sent = reqwest::Client::new().post(url).header("X-Consul-Token", token).json(&body).send().await;
        assert_eq!(sent.unwrap().status().is_success(), without.is_none(), "{without:?}");
    }
}

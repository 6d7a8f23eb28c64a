//! One key, many callers, and a kill in the middle.

use std::collections::HashSet;

use switchboard_proto::goclaw::v1::{ListWorkflowsRequest, workflow_service_client::WorkflowServiceClient};
use switchboard_testkit::{eventually, free_port};
use tokio::task::JoinSet;

use crate::engine::{Engine, PATIENCE, channel, submit};

const CALLERS: usize = 64;
const KEYS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_callers_with_the_same_key_get_one_workflow_across_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut engine = Engine::start(folder.path(), port);
    let mut client = WorkflowServiceClient::new(channel(port));
    submit(&mut client, "first").await;

    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let mut client = client.clone();
        callers.spawn(async move {
            let mut ids = Vec::new();
            for key in 0..KEYS {
                ids.push(submit(&mut client, &format!("k{key}")).await);
            }
            ids
        });
    }
    // Some have their answers by then, some wait for one, some have not asked.
    let begun = async || {
        let listed = client.clone().list_workflows(ListWorkflowsRequest::default()).await;
        let total = listed.map_or(0, |page| page.into_inner().pagination.unwrap().total_count);
        if total > 2 { Ok(()) } else { Err(total) }
    };
    eventually(PATIENCE, begun).await.unwrap();
    engine.kill();
    let _engine = Engine::start(folder.path(), port);

    let answers = callers.join_all().await;
    for key in 0..KEYS {
        let ids: HashSet<_> = answers.iter().map(|ids| &ids[key]).collect();
        assert_eq!(ids.len(), 1, "key {key} made {ids:?}");
    }
    let all = client.list_workflows(ListWorkflowsRequest::default()).await.unwrap().into_inner();
    assert_eq!(all.pagination.unwrap().total_count as usize, KEYS + 1);
}

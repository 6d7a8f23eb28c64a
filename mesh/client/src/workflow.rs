//! Workflows: `goclaw.v1`, the engine behind the same address.
//!
//! | File | What |
//! |---|---|
//! | `submit` | one workflow, many, and one with the wait for its end |
//! | `read` | states, lists, results |
//! | `control` | cancel, retry, pause, resume, signal |
//! | `watch` | updates and log lines as they come |
//! | `resumed` | a stream that finds its way back after it broke |
//! | `delivered` | which log lines have been seen already |
//! | `pages` | lists that come page by page |
//! | `schedule` | workflows that are submitted again and again |
//! | `admin` | the engine itself, for administrators |

mod admin;
mod control;
mod delivered;
mod pages;
mod read;
mod resumed;
mod schedule;
mod submit;
mod watch;

use switchboard_proto::goclaw::v1::WorkflowStatus;
use switchboard_proto::goclaw::v1::admin_service_client::AdminServiceClient;
use switchboard_proto::goclaw::v1::batch_service_client::BatchServiceClient;
use switchboard_proto::goclaw::v1::operator_service_client::OperatorServiceClient;
use switchboard_proto::goclaw::v1::schedule_service_client::ScheduleServiceClient;
use switchboard_proto::goclaw::v1::streaming_service_client::StreamingServiceClient;
use switchboard_proto::goclaw::v1::workflow_control_service_client::WorkflowControlServiceClient;
use switchboard_proto::goclaw::v1::workflow_service_client::WorkflowServiceClient;
use tonic::transport::Channel;

pub use resumed::Updates;
pub use schedule::Schedules;

use crate::{Client, Error};

/// Header by which the engine knows a call again.
const KEY_HEADER: &str = "idempotency-key";

/// The workflow engine of a mesh.
///
/// Made by [`Client::workflows`]; a clone is cheap. Messages are those of `goclaw.v1`.
///
/// ```no_run
/// use switchboard_proto::goclaw::v1::{SubmitWorkflowRequest, TaskDefinition, WorkflowStatus};
///
/// # async fn example() -> Result<(), switchboard_client::Error> {
/// let client = switchboard_client::Client::connect("http://127.0.0.1:50051").await?;
/// let workflows = client.workflows();
/// let task = TaskDefinition { id: "hello".into(), target: "echo-agent".into(), ..Default::default() };
/// let request = SubmitWorkflowRequest { name: "greet".into(), tasks: vec![task], ..Default::default() };
///
/// let workflow = workflows.submit(request).await?;
/// let mut updates = workflows.watch(&workflow.workflow_id, 0).await?;
/// while let Some(update) = updates.next().await {
///     let update = update?;
///     println!("{} {:?}", update.sequence_number, update.status());
/// }
/// let end = workflows.status(&workflow.workflow_id).await?;
/// if end.status() == WorkflowStatus::Completed {
///     let result = workflows.task_result(&workflow.workflow_id, "hello").await?;
///     println!("{}", String::from_utf8_lossy(&result.result_data));
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Workflows {
    client: Client,
}

impl Client {
    /// The workflow engine, with this client's headers, deadlines and retries.
    pub fn workflows(&self) -> Workflows {
        Workflows { client: self.clone() }
    }
}

impl Workflows {
    /// The same with a key by which the engine knows a call again.
    fn keyed(&self, key: &str) -> Result<Self, Error> {
        if self.client.headers.contains_key(KEY_HEADER) {
            return Ok(self.clone());
        }
        Ok(Self { client: self.client.clone().with_header(KEY_HEADER, key)? })
    }
}

/// A key that nobody else has: 128 bits.
fn random_key() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// Whether a workflow in this state has ended, unless somebody retries it.
fn is_terminal(status: WorkflowStatus) -> bool {
    matches!(status, WorkflowStatus::Completed | WorkflowStatus::Failed | WorkflowStatus::Cancelled)
}

macro_rules! stubs {
    ($($name:ident: $stub:ident,)*) => {
        impl Workflows {
            $(fn $name(&self, channel: Channel) -> $stub<Channel> {
                $stub::new(channel)
                    .max_decoding_message_size(self.client.max_message_bytes)
                    .max_encoding_message_size(self.client.max_message_bytes)
            })*
        }
    };
}

stubs! {
    workflow_stub: WorkflowServiceClient,
    control_stub: WorkflowControlServiceClient,
    streaming_stub: StreamingServiceClient,
    batch_stub: BatchServiceClient,
    admin_stub: AdminServiceClient,
    operator_stub: OperatorServiceClient,
    schedule_stub: ScheduleServiceClient,
}

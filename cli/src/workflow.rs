//! `workflow`: submit workflows, watch them, rule them.
//!
//! | File | What |
//! |---|---|
//! | `file` | workflow files, what the command line changes of them, and where the engine's words belong in them |
//! | `submit` | `submit`, `run`, `batch` |
//! | `follow` | a workflow's updates to its end: as a screen, as lines, as JSON |
//! | `view` | what is known of a workflow while it is followed |
//! | `draw`, `terminal` | the screen: its text, and how it is put there again and again |
//! | `schedule` | `schedule`: workflows that are submitted again and again |
//! | `list`, `show`, `logs`, `control`, `admin` | the other commands |
//! | `json`, `words` | messages as JSON, and in words |

mod admin;
mod control;
mod draw;
mod file;
mod follow;
mod json;
mod list;
mod logs;
mod schedule;
mod show;
mod submit;
mod terminal;
mod view;
mod words;

use switchboard_client::Client;

use crate::args::{Workflow, WorkflowCommand};
use crate::failure::Failure;

/// Failures that only workflows have.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file cannot be read.
    #[error("{file}: {source}")]
    Unreadable { file: String, source: std::io::Error },
    /// A file is no workflow; one line per problem.
    #[error("{0}")]
    File(String),
    /// The engine refused what is in a file; one line per problem.
    #[error("{0}")]
    Refused(String),
    /// Items of a batch were refused; which ones has been printed.
    #[error("{refused} of {all} workflows were refused")]
    Batch { refused: usize, all: usize },
    #[error("workflow {id} FAILED{}", because(.message))]
    Failed { id: String, message: String },
    #[error("workflow {id} was CANCELLED{}", because(.message))]
    Cancelled { id: String, message: String },
    /// Ctrl-C.
    #[error("watching has ended; workflow {id} goes on")]
    Left { id: String },
}

impl Error {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Unreadable { .. } => crate::failure::USAGE,
            // EX_DATAERR of sysexits.h.
            Self::File(_) | Self::Refused(_) | Self::Batch { .. } => 65,
            Self::Failed { .. } => 20,
            Self::Cancelled { .. } => 21,
            // As shells have it: 128 and the signal.
            Self::Left { .. } => 130,
        }
    }

    pub(crate) fn next_step(&self) -> Option<String> {
        match self {
            Self::Failed { id, .. } => Some(format!(
                "`switchboard workflow show {id}` tells more, `switchboard workflow retry {id}` runs it on"
            )),
            Self::Cancelled { id, .. } => Some(format!("`switchboard workflow retry {id}` runs it on")),
            Self::Left { id } => Some(format!(
                "`switchboard workflow watch {id}` watches it again, `switchboard workflow cancel {id}` ends it"
            )),
            Self::Batch { .. } => Some("mend those, and submit them again without the others".to_owned()),
            Self::File(_) | Self::Refused(_) => {
                Some("mend the file; `switchboard workflow run --help` shows one".to_owned())
            }
            Self::Unreadable { .. } => None,
        }
    }
}

fn because(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {}", words::plain(message)) }
}

/// Runs one of the commands.
pub(crate) async fn run(workflow: Workflow, client: &Client) -> Result<(), Failure> {
    let workflows = client.workflows();
    match workflow.command {
        WorkflowCommand::Submit(args) => submit::submit(args, &workflows).await,
        WorkflowCommand::Run(args) => submit::run(args, &workflows).await,
        WorkflowCommand::Batch(args) => submit::batch(args, &workflows).await,
        WorkflowCommand::List(args) => list::run(args, &workflows).await,
        WorkflowCommand::Show(args) => show::run(args, &workflows).await,
        WorkflowCommand::Watch(args) => follow::watch(args, &workflows).await,
        WorkflowCommand::Logs(args) => logs::run(args, &workflows).await,
        WorkflowCommand::Cancel(args) => control::cancel(args, &workflows).await,
        WorkflowCommand::Retry(args) => control::retry(args, &workflows).await,
        WorkflowCommand::Pause(args) => control::pause(args, &workflows).await,
        WorkflowCommand::Resume(args) => control::resume(args, &workflows).await,
        WorkflowCommand::Signal(args) => control::signal(args, &workflows).await,
        WorkflowCommand::Schedule(args) => schedule::run(args, &workflows).await,
        WorkflowCommand::Admin(args) => admin::run(args, &workflows).await,
    }
}

//! From a workflow's events to a stream's messages.

use std::time::Duration;

use prost::Message;
use tokio::time::Instant;
use tonic::{Code, Status, metadata::MetadataValue};
use workflow_machine::{Event, WorkflowId};
use workflow_store::WorkflowId as StoreId;

use super::{Outgoing, Sender, outgoing::Untaken, over};
use crate::{
    api::{Api, status::Problem},
    engine::{EngineError, Gap, Watch, event},
};

/// The trailer that says after which sequence to resume.
const LAST_SEQUENCE: &str = "x-last-sequence";

/// Events that are read at once.
const READ_AT_ONCE: usize = 1_024;

/// Makes messages of events.
pub(crate) trait Follower: Send + 'static {
    /// What the stream is made of.
    type Message: Message + 'static;

    /// What an event is to the client, and whether the stream ends with it.
    fn messages(
        &mut self,
        event: Event,
    ) -> impl Future<Output = Result<(Vec<Self::Message>, bool), Problem>> + Send;

    /// What is said when there was nothing to say. `sequence` is that of the event that was seen last.
    fn heartbeat(&self, sequence: u64) -> Self::Message;
}

/// A stream that is about to begin.
pub(crate) struct Begun<F: Follower> {
    pub(crate) follower: F,
    /// What is said at once.
    pub(crate) first: Vec<F::Message>,
    /// What follows; `None` if nothing does.
    pub(crate) watch: Option<Watch>,
}

/// Streams what a follower makes of a workflow's events.
///
/// # Errors
/// If there are too many streams.
pub(crate) fn follow<F: Follower>(
    api: &Api,
    heartbeat: Duration,
    begun: Begun<F>,
) -> Result<Outgoing<F::Message>, Problem> {
    let (sender, stream) = api.outgoing()?;
    tokio::spawn(run(api.clone(), heartbeat, begun, sender));
    Ok(stream)
}

async fn run<F: Follower>(api: Api, heartbeat: Duration, begun: Begun<F>, sender: Sender<F::Message>) {
    let Begun { mut follower, first, watch } = begun;
    let mut last = watch.as_ref().map_or(0, Watch::sequence);
    for message in first {
        match sender.send(message).await {
            Ok(()) => {}
            Err(Untaken::Gone) => return,
            // The whole state is sent again.
            Err(Untaken::Slow) => return sender.fail(slow(0)),
        }
    }
    let Some(mut watch) = watch else { return };
    let mut silent_until = Instant::now() + heartbeat;
    loop {
        let event = tokio::select! {
            biased;
            event = watch.next() => event,
            () = sender.gone() => return,
            why = over(&api.engine) => return sender.fail(broken(why, last)),
            () = tokio::time::sleep_until(silent_until) => {
                silent_until = Instant::now() + heartbeat;
                match sender.send(follower.heartbeat(watch.sequence())).await {
                    Ok(()) => continue,
                    Err(Untaken::Gone) => return,
                    Err(Untaken::Slow) => return sender.fail(slow(last)),
                }
            }
        };
        let event = match event {
            Ok(event) => event,
            Err(gap) => return sender.fail(broken(gap, last)),
        };
        let (messages, end) = match follower.messages(event).await {
            Ok(messages) => messages,
            Err(problem) => return sender.fail(broken(problem, last)),
        };
        for message in messages {
            match sender.send(message).await {
                Ok(()) => silent_until = Instant::now() + heartbeat,
                Err(Untaken::Gone) => return,
                Err(Untaken::Slow) => return sender.fail(slow(last)),
            }
        }
        // Only now: of an event with several messages all have to be out.
        last = watch.sequence();
        if end {
            return;
        }
    }
}

fn slow(last: u64) -> Status {
    let message =
        "slow consumer: messages waited too long to be read; read faster, or resume from x-last-sequence";
    broken(Problem::new(Code::ResourceExhausted, "SLOW_CONSUMER", message).with("last_sequence", last), last)
}

/// A stream that breaks off says from where to resume.
fn broken(problem: impl Into<Problem>, last: u64) -> Status {
    let mut status = Status::from(problem.into());
    status.metadata_mut().insert(LAST_SEQUENCE, MetadataValue::from(last));
    status
}

/// Gives a workflow's events up to `last` to `fold`, in order. Says the number of the newest event.
pub(crate) async fn fold<T: Send + 'static>(
    api: &Api,
    id: &WorkflowId,
    last: u64,
    mut state: T,
    apply: fn(&mut T, &Event),
) -> Result<(T, u64), Problem> {
    let stored = StoreId::new(id.as_str()).map_err(|_| EngineError::NotFound)?;
    let reach = api.engine.reach().clone();
    let folded = api.engine.from_store(move |store| {
        let summary = store.summary(&stored)?.filter(|summary| reach.covers(&summary.owner));
        let Some(head) = summary.map(|summary| summary.last_seq) else { return Ok(Ok((state, 0))) };
        let mut after = 0;
        while after < last {
            let items = store.events(&stored, after, READ_AT_ONCE)?.items;
            let more = items.len() == READ_AT_ONCE;
            for item in items.into_iter().take_while(|item| item.seq <= last) {
                after = item.seq;
                match event(&stored, &item) {
                    Ok(event) => apply(&mut state, &event),
                    Err(error) => return Ok(Err(error)),
                }
            }
            if !more {
                break;
            }
        }
        Ok(Ok((state, head)))
    });
    folded.await?.map_err(|error| Problem::from(Gap::Unreadable(error)))
}

//! A stream that finds its way back: where it broke is asked for again, and what comes twice is dropped.
//!
//! ```text
//!  open ──► message ──► items … ──► end (OK)
//!   ▲          │ breaks
//!   └─ pause ◄─┘   gives up: `resume_within` after it broke, if nothing was heard since
//! ```
//!
//! Only what another attempt can mend is waited for: UNAVAILABLE, a lost connection, a stream that the engine closed
//! because it was read too slowly, and an engine that is not registered while it restarts. Everything else ends the
//! stream with its error.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use tokio::time::Instant;
use tonic::{Code, Status, Streaming};

use crate::{Client, Error, RetryPolicy};

/// A stream that lived this long without a word was no failed attempt to get back.
const LIVED: Duration = Duration::from_secs(10);

/// Updates of the engine in order; ends after the last one or after the first error.
///
/// Dropping it ends the stream at the engine, too. Polling is cancel-safe: no update is lost.
pub struct Updates<T>(BoxStream<'static, Result<T, Error>>);

impl<T> Updates<T> {
    pub(super) fn new(inner: BoxStream<'static, Result<T, Error>>) -> Self {
        Self(inner)
    }

    /// Waits for the next update; `None` after the last. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<T, Error>> {
        self.0.next().await
    }
}

impl<T> std::fmt::Debug for Updates<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Updates").finish_non_exhaustive()
    }
}

impl<T> Stream for Updates<T> {
    type Item = Result<T, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

/// What is streamed, and how far it has come.
pub(super) trait Source: Send + 'static {
    /// What comes over the wire.
    type Message: Send + 'static;
    /// What is given to the reader.
    type Item: Send + 'static;

    /// Asks for everything behind what was taken.
    fn open(
        &mut self,
        client: &Client,
    ) -> impl Future<Output = Result<Streaming<Self::Message>, Error>> + Send;

    /// Takes a message; gives what of it the reader has not had.
    fn take(&mut self, message: Self::Message) -> Vec<Self::Item>;

    /// Whether the last that there is has been taken.
    fn is_over(&self) -> bool {
        false
    }
}

/// Opens a source as one call is made, with the client's retries, and streams it with patience.
pub(super) async fn resumed<S: Source>(client: Client, mut source: S) -> Result<Updates<S::Item>, Error> {
    let end = client.stream_deadline.map(|deadline| Instant::now() + deadline);
    let inner = source.open(&client).await?;
    let reader = Reader {
        within: client.resume_within,
        policy: client.retry.clone(),
        deadline: client.stream_deadline,
        // From here on the attempts are counted here.
        client: Client { retry: RetryPolicy::never(), ..client },
        source,
        inner: Some(inner),
        opened: Instant::now(),
        outage: None,
        end,
        ready: VecDeque::new(),
        done: false,
    };
    let updates = stream::unfold(reader, |mut reader| async move {
        let next = reader.next().await?;
        reader.done |= next.is_err();
        Some((next, reader))
    });
    Ok(Updates::new(updates.boxed()))
}

/// A time in which nothing is heard.
struct Outage {
    since: Instant,
    attempts: u32,
}

struct Reader<S: Source> {
    client: Client,
    policy: RetryPolicy,
    within: Duration,
    deadline: Option<Duration>,
    source: S,
    inner: Option<Streaming<S::Message>>,
    opened: Instant,
    outage: Option<Outage>,
    /// Of the whole, over all streams.
    end: Option<Instant>,
    /// Taken, and not read yet: at most what one message held.
    ready: VecDeque<S::Item>,
    done: bool,
}

impl<S: Source> Reader<S> {
    async fn next(&mut self) -> Option<Result<S::Item, Error>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(Ok(item));
            }
            if self.done || self.source.is_over() {
                // Dropped at once, so that the engine holds nothing for nobody.
                self.inner = None;
                return None;
            }
            let step = match self.end {
                None => self.step().await,
                Some(end) => match tokio::time::timeout_at(end, self.step()).await {
                    Ok(step) => step,
                    Err(_) => Err(Error::Deadline { after: self.deadline.unwrap_or_default() }),
                },
            };
            if let Err(error) = step {
                self.inner = None;
                return Some(Err(error));
            }
        }
    }

    /// Reads one message, or gets back to where there are some.
    async fn step(&mut self) -> Result<(), Error> {
        let Some(inner) = &mut self.inner else {
            match self.source.open(&self.remaining()).await {
                Ok(inner) => {
                    self.inner = Some(inner);
                    self.opened = Instant::now();
                }
                Err(error) => self.wait(error).await?,
            }
            return Ok(());
        };
        match inner.message().await {
            Ok(Some(message)) => {
                self.outage = None;
                self.ready.extend(self.source.take(message));
            }
            Ok(None) => self.done = true,
            Err(status) => {
                self.inner = None;
                if self.opened.elapsed() >= LIVED {
                    self.outage = None;
                }
                let error = self.failure(status);
                self.wait(error).await?;
            }
        }
        Ok(())
    }

    /// Waits before another attempt; gives the failure back if none may help, or it has been too long.
    async fn wait(&mut self, error: Error) -> Result<(), Error> {
        let outage = self.outage.get_or_insert(Outage { since: Instant::now(), attempts: 0 });
        outage.attempts += 1;
        let pause = self.policy.backoff(outage.attempts, &mut rand::rng());
        let pause = pause.max(error.retry_delay().unwrap_or_default());
        if !may_come_back(&error) || outage.since.elapsed() + pause > self.within {
            return Err(error);
        }
        tracing::debug!(%error, attempts = outage.attempts, ?pause, "stream is resumed");
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// The client with what is left of the deadline.
    fn remaining(&self) -> Client {
        let left = self.end.map(|end| end.saturating_duration_since(Instant::now()));
        self.client.clone().with_deadline(left)
    }

    fn failure(&self, status: Status) -> Error {
        Error::from_status(status, self.client.endpoint(), self.deadline)
    }
}

/// Whether the same stream may be had a little later.
fn may_come_back(error: &Error) -> bool {
    if error.tls_failure().is_some() {
        return false;
    }
    let slow = error.status().is_some_and(|status| status.metadata().contains_key("x-last-sequence"));
    error.nothing_processed()
        || error.lost()
        || error.code() == Code::Unavailable
        || (error.code() == Code::ResourceExhausted && slow)
        // The router's words for a silent stream, and for an engine that is between two lives.
        || matches!(error.reason(), Some("STREAM_IDLE" | "GRPC_SERVICE_UNKNOWN"))
}

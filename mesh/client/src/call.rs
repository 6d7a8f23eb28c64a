//! One call: its deadline, its attempts, and the stream that it may answer with.
//!
//! Dropping the future of a call, or a [`TaskStream`], resets the HTTP/2 stream, which the router and the
//! backend see as a cancelled call.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use switchboard_proto::agentplatform::TaskChunk;
use tokio::time::{Instant, Sleep};
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use crate::{Client, Error};

const AUTHORIZATION: &str = "authorization";

/// Whether the same call may safely run twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// The call only reads, or the server knows it again: UNAVAILABLE and a broken connection are tried again.
    Idempotent,
    /// The call does something: only what certainly never ran is tried again.
    Never,
}

impl Client {
    /// Makes a call that answers once.
    pub(crate) async fn unary<M, R, F>(
        &self,
        repeat: Repeat,
        message: M,
        send: impl Fn(Channel, Request<M>) -> F,
    ) -> Result<R, Error>
    where
        M: Clone,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        self.attempts(self.deadline, repeat, message, send).await.map(|(response, _)| response)
    }

    /// Makes a call that answers with a stream of chunks. Only its start is ever tried again.
    pub(crate) async fn chunks<M, F>(
        &self,
        message: M,
        send: impl Fn(Channel, Request<M>) -> F,
    ) -> Result<TaskStream, Error>
    where
        M: Clone,
        F: Future<Output = Result<Response<Streaming<TaskChunk>>, Status>>,
    {
        let deadline = self.stream_deadline;
        let (inner, end) = self.attempts(deadline, Repeat::Never, message, send).await?;
        Ok(TaskStream {
            inner: Some(inner),
            timer: end.map(|end| Box::pin(tokio::time::sleep_until(end))),
            deadline,
            endpoint: self.endpoint().to_owned(),
        })
    }

    /// Opens a stream that only reads; what it says is the caller's to read, and the deadline the caller's to keep.
    pub(crate) async fn opened<M, R, F>(
        &self,
        message: M,
        send: impl Fn(Channel, Request<M>) -> F,
    ) -> Result<Streaming<R>, Error>
    where
        M: Clone,
        F: Future<Output = Result<Response<Streaming<R>>, Status>>,
    {
        self.attempts(self.stream_deadline, Repeat::Idempotent, message, send).await.map(|(inner, _)| inner)
    }

    /// Tries until an answer, a final failure or the deadline; gives the moment of the deadline too.
    async fn attempts<M, R, F>(
        &self,
        deadline: Option<Duration>,
        repeat: Repeat,
        message: M,
        send: impl Fn(Channel, Request<M>) -> F,
    ) -> Result<(R, Option<Instant>), Error>
    where
        M: Clone,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let end = deadline.map(|deadline| Instant::now() + deadline);
        let mut attempts = 0;
        loop {
            let request = self.request(message.clone(), end, attempts);
            let sent = send(self.pool.channel(), request);
            let result = match end {
                Some(end) => match tokio::time::timeout_at(end, sent).await {
                    Ok(result) => result,
                    Err(_) => return Err(Error::Deadline { after: deadline.unwrap_or_default() }),
                },
                None => sent.await,
            };
            let error = match result {
                Ok(response) => return Ok((response.into_inner(), end)),
                Err(status) => Error::from_status(status, self.endpoint(), deadline),
            };
            attempts += 1;
            let idempotent = repeat == Repeat::Idempotent;
            let Some(wait) = self.retry.wait(&error, idempotent, attempts, &mut rand::rng()) else {
                return Err(error);
            };
            let next = Instant::now() + wait;
            if end.is_some_and(|end| next >= end) {
                // The failure at hand says more than the deadline that another attempt would meet.
                return Err(error);
            }
            tracing::debug!(%error, attempts, ?wait, "call is tried again");
            tokio::time::sleep_until(next).await;
        }
    }

    /// Dresses a message with the client's headers, what is left of the deadline, and the attempt's number.
    fn request<M>(&self, message: M, end: Option<Instant>, previous_attempts: u32) -> Request<M> {
        let mut request = Request::new(message);
        *request.metadata_mut() = self.headers.clone();
        if let Some(token) = &self.token
            && !self.headers.contains_key(AUTHORIZATION)
        {
            request.metadata_mut().insert(AUTHORIZATION, token.header());
        }
        if previous_attempts > 0 {
            request.metadata_mut().insert("grpc-previous-rpc-attempts", previous_attempts.into());
        }
        if let Some(end) = end {
            // Zero is not a valid timeout on the wire; the timer around the call ends it anyway.
            request.set_timeout((end - Instant::now()).max(Duration::from_millis(1)));
        }
        request
    }
}

/// The chunks of a running task, in order; ends after the last one or after the first error.
///
/// Dropping it cancels the task's call. Polling is cancel-safe: no chunk is lost.
#[derive(Debug)]
pub struct TaskStream {
    inner: Option<Streaming<TaskChunk>>,
    timer: Option<Pin<Box<Sleep>>>,
    deadline: Option<Duration>,
    endpoint: String,
}

impl TaskStream {
    /// Waits for the next chunk; `None` after the last. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<TaskChunk, Error>> {
        StreamExt::next(self).await
    }
}

impl Stream for TaskStream {
    type Item = Result<TaskChunk, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        // The timer first: a server that never pauses must not outrun the deadline.
        let expired = this.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready());
        let error = if expired {
            Some(Error::Deadline { after: this.deadline.unwrap_or_default() })
        } else {
            match std::task::ready!(inner.poll_next_unpin(cx)) {
                Some(Ok(chunk)) => return Poll::Ready(Some(Ok(chunk))),
                Some(Err(status)) => Some(Error::from_status(status, &this.endpoint, this.deadline)),
                None => None,
            }
        };
        // Dropping the stream resets it, so that the server stops working for nobody.
        this.inner = None;
        Poll::Ready(error.map(Err))
    }
}

//! What a stream holds for its client: bounded in messages and bytes, so that however many clients are slow, the engine's
//! memory is not theirs.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_stream::Stream;
use tonic::Status;

use super::places::Place;

/// Messages that wait for the client; as many as the origin holds.
const MAX_MESSAGES: usize = 100;
/// Their bytes. HTTP/2 holds as many again.
const MAX_BYTES: usize = 1 << 20;

/// The stream that a handler answers with.
pub struct Outgoing<T> {
    messages: mpsc::Receiver<Held<T>>,
    end: Option<oneshot::Receiver<Status>>,
    /// Free again when the client has gone, or has everything.
    _place: Option<Place>,
}

/// Where its messages come from. Dropped, the stream ends with OK.
pub(crate) struct Sender<T> {
    messages: mpsc::Sender<Held<T>>,
    room: Arc<Semaphore>,
    end: oneshot::Sender<Status>,
    grace: Duration,
}

/// A message with the room that it takes.
type Held<T> = (T, OwnedSemaphorePermit);

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Untaken {
    /// The client has gone.
    Gone,
    /// There was no room for it within the grace.
    Slow,
}

/// A stream, and where its messages come from. A message that finds no room waits for `grace`.
pub(crate) fn outgoing<T>(grace: Duration, place: Option<Place>) -> (Sender<T>, Outgoing<T>) {
    let (sender, messages) = mpsc::channel(MAX_MESSAGES);
    let (end, ended) = oneshot::channel();
    let room = Arc::new(Semaphore::new(MAX_BYTES));
    (Sender { messages: sender, room, end, grace }, Outgoing { messages, end: Some(ended), _place: place })
}

impl<T: Message> Sender<T> {
    pub(crate) async fn send(&self, message: T) -> Result<(), Untaken> {
        match tokio::time::timeout(self.grace, self.send_patiently(message)).await {
            Ok(sent) => sent,
            Err(_) => Err(Untaken::Slow),
        }
    }

    /// The same, for as long as the client takes.
    pub(crate) async fn send_patiently(&self, message: T) -> Result<(), Untaken> {
        let bytes = message.encoded_len().clamp(1, MAX_BYTES) as u32;
        let room = self.room.clone().acquire_many_owned(bytes).await.map_err(|_| Untaken::Gone)?;
        self.messages.send((message, room)).await.map_err(|_| Untaken::Gone)
    }

    /// Done when the client has gone. Cancel safe.
    pub(crate) async fn gone(&self) {
        self.messages.closed().await;
    }

    /// Ends the stream with this, behind the messages that it holds.
    pub(crate) fn fail(self, status: Status) {
        let _ = self.end.send(status);
    }
}

impl<T> Stream for Outgoing<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.messages.poll_recv(cx) {
            Poll::Ready(Some((message, _room))) => Poll::Ready(Some(Ok(message))),
            Poll::Pending => Poll::Pending,
            // The sender says how it ends before it goes.
            Poll::Ready(None) => {
                let end = self.end.take().and_then(|mut end| end.try_recv().ok());
                Poll::Ready(end.map(Err))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_stream::StreamExt;

    const GRACE: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn who_reads_nothing_for_the_grace_is_slow_and_gets_what_was_held() {
        let (sender, mut stream) = outgoing::<String>(GRACE, None);
        let mut sent = 0;
        while sender.send("x".to_owned()).await.is_ok() {
            sent += 1;
        }
        assert_eq!((sent, sender.send("x".to_owned()).await), (MAX_MESSAGES, Err(Untaken::Slow)));
        sender.fail(Status::resource_exhausted("slow"));
        for _ in 0..sent {
            assert_eq!(stream.next().await.unwrap().unwrap(), "x");
        }
        assert!(stream.next().await.unwrap().is_err());
        assert!(stream.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_are_bounded_too() {
        let (sender, mut stream) = outgoing::<String>(GRACE, None);
        let large = "x".repeat(300 << 10);
        let mut sent = 0;
        while sender.send(large.clone()).await.is_ok() {
            sent += 1;
        }
        assert_eq!(sent, 3);
        assert!(stream.next().await.is_some());
        assert_eq!(sender.send(large.clone()).await, Ok(()));
        // Larger than all the room there is: it goes alone.
        drop(stream);
        assert_eq!(sender.send("x".repeat(2 << 20)).await, Err(Untaken::Gone));
    }
}

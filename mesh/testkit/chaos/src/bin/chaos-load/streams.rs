//! Streams that stay open from the beginning to the end, each on a connection of its own, with a message now and then.
//!
//! None is opened again: what breaks one is what a test wants to know.

use crate::account::Account;
use crate::call::{Caller, Chat};
use crate::refusal::Refusal;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_local};

/// An answer that takes longer has not come.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// The open streams.
pub(crate) struct Streams {
    close: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// Opens `count` streams in the background.
pub(crate) fn open(caller: &Caller, count: usize, rest: Duration, account: Rc<Account>) -> Streams {
    let close = watch::Sender::new(false);
    let tasks = (0..count)
        .map(|_| {
            let (caller, account, closed) = (caller.clone(), account.clone(), close.subscribe());
            spawn_local(async move {
                account.stream_opened();
                let broken = stream(&caller, rest, &account, closed).await;
                account.stream_ended(broken);
            })
        })
        .collect();
    Streams { close, tasks }
}

impl Streams {
    /// Ends them, and waits until all have.
    pub(crate) async fn close(self) {
        self.close.send_replace(true);
        for task in self.tasks {
            // A panic is in the output already, and the stream is missing in the books.
            let _panicked = task.await.is_err();
        }
    }
}

/// Returns why the stream broke, if it did.
async fn stream(
    caller: &Caller,
    rest: Duration,
    account: &Account,
    mut closed: watch::Receiver<bool>,
) -> Option<String> {
    let said = |status: tonic::Status| {
        let Refusal { key, message } = status.into();
        format!("{key}: {message}")
    };
    let mut chat = match Chat::open(caller, caller.own_channel(), None).await {
        Ok(chat) => chat,
        Err(status) => return Some(said(status)),
    };
    for number in 0.. {
        let sent = Instant::now();
        match tokio::time::timeout(ANSWER_LIMIT, chat.exchange(number)).await {
            Ok(Ok(None)) => account.stream_message(sent.elapsed()),
            Ok(Ok(wrong)) => return wrong,
            Ok(Err(status)) => return Some(said(status)),
            Err(_) => return Some(format!("message {number} did not come back within {ANSWER_LIMIT:?}")),
        }
        // A sender that is gone means that the program ends.
        if let Ok(Ok(_) | Err(_)) = tokio::time::timeout(rest, closed.wait_for(|closed| *closed)).await {
            break;
        }
    }
    match tokio::time::timeout(ANSWER_LIMIT, chat.close()).await {
        Ok(Ok(wrong)) => wrong,
        Ok(Err(status)) => Some(said(status)),
        Err(_) => Some("it did not end when it was told to".to_owned()),
    }
}

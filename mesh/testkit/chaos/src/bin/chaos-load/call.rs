//! The kinds of calls, and what each must answer.

use crate::account::{Account, Outcome};
use crate::door::Door;
use crate::refusal::unsent;
use bytes::Bytes;
use rand::{Rng, RngExt};
use std::cell::Cell;
use std::rc::Rc;
use std::str::FromStr;
use std::time::{Duration, Instant};
use switchboard_chaos::path;
use switchboard_proto::BytesCodec;
use switchboard_proto::agentplatform::agent_service_client::AgentServiceClient;
use switchboard_proto::agentplatform::task_worker_client::TaskWorkerClient;
use switchboard_proto::agentplatform::tool_service_client::ToolServiceClient;
use switchboard_proto::agentplatform::{TaskRequest, ToolRequest};
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

/// Messages of one short conversation.
const CHAT_MESSAGES: u64 = 3;
/// Bytes of a small message.
const SMALL: usize = 100;
/// Words that an echo agent streams.
const WORDS: &str = "one two three four five";

/// A kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Unary, to an agent.
    Echo,
    /// Unary, to a tool.
    Weather,
    /// Unary, to a worker that itself makes calls through the routers.
    Itinerary,
    /// Server streaming, from an agent.
    Chunks,
    /// Both directions, one message after the other.
    Chat,
    /// Unary, found by the service's name.
    Bytes,
}

impl Kind {
    /// Whether its latency is that of one small unary call.
    pub(crate) fn timed(self) -> bool {
        matches!(self, Self::Echo | Self::Weather | Self::Bytes)
    }
}

/// Kinds with their shares.
#[derive(Debug, Clone)]
pub(crate) struct Mix(Vec<(Kind, u32)>);

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let kind = |name: &str| {
            Some(match name {
                "echo" => Kind::Echo,
                "weather" => Kind::Weather,
                "itinerary" => Kind::Itinerary,
                "chunks" => Kind::Chunks,
                "chat" => Kind::Chat,
                "bytes" => Kind::Bytes,
                _ => return None,
            })
        };
        let share = |part: &str| {
            let (name, share) = part.split_once('=')?;
            Some((kind(name)?, share.parse().ok()?))
        };
        let shares: Option<Vec<(Kind, u32)>> = text.split(',').map(share).collect();
        shares
            .filter(|shares| shares.iter().any(|(_, share)| *share > 0))
            .map(Self)
            .ok_or_else(|| format!("{text:?} is not like echo=60,weather=40"))
    }
}

impl Mix {
    pub(crate) fn choose(&self, random: &mut impl Rng) -> Kind {
        let mut left = random.random_range(0..self.0.iter().map(|(_, share)| share).sum());
        for (kind, share) in &self.0 {
            match share.checked_sub(left + 1) {
                Some(_) => return *kind,
                None => left -= share,
            }
        }
        self.0[0].0
    }
}

/// Makes calls, on its connections in turn. A clone shares them.
#[derive(Clone)]
pub(crate) struct Caller {
    door: Door,
    channels: Rc<[Channel]>,
    next: Rc<Cell<usize>>,
    fresh: bool,
    deadline: Duration,
}

impl Caller {
    pub(crate) fn new(door: Door, connections: usize, fresh: bool, deadline: Duration) -> Self {
        let channels = (0..connections.max(1)).map(|_| door.connect()).collect();
        Self { door, channels, next: Rc::default(), fresh, deadline }
    }

    pub(crate) fn deadline(&self) -> Duration {
        self.deadline
    }

    /// The connection whose turn it is.
    pub(crate) fn channel(&self) -> Channel {
        if self.fresh {
            return self.door.connect();
        }
        let turn = self.next.get();
        self.next.set(turn.wrapping_add(1));
        self.channels[turn % self.channels.len()].clone()
    }

    /// A connection of its own.
    pub(crate) fn own_channel(&self) -> Channel {
        self.door.connect()
    }

    /// Makes a call. Only one that was never sent is made again, once: what a client without retries sees counts.
    pub(crate) async fn call(&self, kind: Kind, number: u64, account: &Account) -> Outcome {
        let mut result = self.answer(kind, number, account).await;
        if matches!(&result, Err(status) if unsent(status)) {
            account.sent_anew();
            result = self.answer(kind, number, account).await;
        }
        match result {
            Ok(None) => Outcome::Ok,
            Ok(Some(wrong)) => Outcome::Wrong(format!("{kind:?} {number}: {wrong}")),
            Err(status) => Outcome::Refused(status.into()),
        }
    }

    /// Returns what is wrong with the answer, if anything.
    async fn answer(&self, kind: Kind, number: u64, account: &Account) -> Result<Option<String>, Status> {
        let channel = self.channel();
        match kind {
            Kind::Echo => {
                let request = self.request(task("echo-agent", number, &number.to_string()));
                let answer = AgentServiceClient::new(channel).execute_task(request).await?.into_inner();
                Ok((answer.output != format!("Echo: {number}")).then_some(answer.output))
            }
            Kind::Weather => {
                let request = ToolRequest {
                    tool_id: "weather-tool".to_owned(),
                    operation: "get_weather".to_owned(),
                    parameters: [("location".to_owned(), "Rome".to_owned())].into(),
                    ..ToolRequest::default()
                };
                let answer = ToolServiceClient::new(channel).execute_tool(self.request(request)).await?;
                let answer = answer.into_inner();
                Ok((!answer.success || !answer.result.contains("Rome")).then_some(answer.error))
            }
            Kind::Itinerary => {
                let mut request = task("itinerary-worker", number, "");
                let parameters = [("destination", "Rome"), ("days", "2")];
                request.parameters = parameters.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
                let answer = TaskWorkerClient::new(channel).process_task(self.request(request)).await?;
                let answer = answer.into_inner();
                Ok((!answer.success).then_some(answer.error))
            }
            Kind::Chunks => {
                let request = self.request(task("echo-agent", number, WORDS));
                let answer = AgentServiceClient::new(channel).stream_task(request).await?;
                let mut chunks = answer.into_inner();
                let mut words = Vec::new();
                while let Some(chunk) = chunks.message().await? {
                    words.push(chunk.content);
                }
                let words = words.join(" ");
                Ok((words != WORDS).then_some(words))
            }
            Kind::Chat => {
                let mut chat = Chat::open(self, channel, Some(self.deadline)).await?;
                for part in 0..CHAT_MESSAGES {
                    let sent = Instant::now();
                    if let Some(wrong) = chat.exchange(number * CHAT_MESSAGES + part).await? {
                        return Ok(Some(wrong));
                    }
                    account.message(sent.elapsed());
                }
                chat.close().await
            }
            Kind::Bytes => {
                let message = small(number);
                let mut client = Grpc::new(channel);
                ready(&mut client).await?;
                let request = self.request(message.clone());
                let path = PathAndQuery::from_static(path::ECHO);
                let answer = client.unary(request, path, BytesCodec).await?.into_inner();
                Ok((answer != message).then(|| format!("{answer:?}")))
            }
        }
    }

    fn request<M>(&self, message: M) -> Request<M> {
        self.door.request(message, Some(self.deadline))
    }
}

/// An open stream in both directions.
pub(crate) struct Chat {
    send: tokio::sync::mpsc::Sender<Bytes>,
    answers: Streaming<Bytes>,
}

impl Chat {
    pub(crate) async fn open(
        caller: &Caller,
        channel: Channel,
        deadline: Option<Duration>,
    ) -> Result<Self, Status> {
        let (send, messages) = tokio::sync::mpsc::channel(1);
        let mut client = Grpc::new(channel);
        ready(&mut client).await?;
        let request = caller.door.request(ReceiverStream::new(messages), deadline);
        let path = PathAndQuery::from_static(path::CHAT);
        let answers = client.streaming(request, path, BytesCodec).await?.into_inner();
        Ok(Self { send, answers })
    }

    /// Sends message `number` and waits for its echo. Returns what is wrong with that, if anything.
    pub(crate) async fn exchange(&mut self, number: u64) -> Result<Option<String>, Status> {
        let message = small(number);
        // It fails only when the call has ended, and how is said by the answer.
        let _ended = self.send.send(message.clone()).await.is_err();
        match self.answers.message().await? {
            Some(answer) if answer == message => Ok(None),
            Some(answer) => Ok(Some(format!("message {number} came back as {answer:?}"))),
            None => Ok(Some(format!("the stream ended before message {number} came back"))),
        }
    }

    /// Ends the stream; it must end well.
    pub(crate) async fn close(self) -> Result<Option<String>, Status> {
        let Self { send, mut answers } = self;
        drop(send);
        Ok(answers.message().await?.map(|more| format!("{more:?} after the end")))
    }
}

async fn ready(client: &mut Grpc<Channel>) -> Result<(), Status> {
    client.ready().await.map_err(|error| Status::from_error(error.into()))
}

fn task(agent: &str, number: u64, input: &str) -> TaskRequest {
    TaskRequest {
        task_id: format!("chaos-{}-{number}", std::process::id()),
        agent_id: agent.to_owned(),
        input: input.to_owned(),
        ..TaskRequest::default()
    }
}

/// A message of its own for each number.
fn small(number: u64) -> Bytes {
    format!("{number:0SMALL$}").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn kinds_are_chosen_by_their_shares() {
        let mix: Mix = "echo=3,chat=1,weather=0".parse().unwrap();
        let mut random = rand::rngs::StdRng::seed_from_u64(1);
        let chosen: Vec<Kind> = (0..1_000).map(|_| mix.choose(&mut random)).collect();
        let chats = chosen.iter().filter(|kind| **kind == Kind::Chat).count();
        assert!((200..300).contains(&chats), "{chats}");
        assert!(!chosen.contains(&Kind::Weather));
        for bad in ["", "echo", "echo=x", "tea=1", "echo=0"] {
            assert!(bad.parse::<Mix>().is_err(), "{bad:?}");
        }
    }
}

//! A DNS server over TCP whose answers are scripted, and which remembers what it was asked.

use hickory_resolver::proto::{
    op::{Message, ResponseCode},
    rr::{Name, RData, Record, rdata::SRV},
};
use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};

/// What it does with one question.
pub(in crate::control) enum Answer {
    /// Instances: host, port, weight. An IP address gets a target of its own and a record in the additional section.
    Instances(Vec<(&'static str, u16, u16)>),
    /// Instances of another name than the one asked for.
    Stranger(Vec<(&'static str, u16, u16)>),
    /// A code, and nothing else.
    Code(ResponseCode),
    /// Some instances, and the mark that there would be more.
    Cut(Vec<(&'static str, u16, u16)>),
    /// Bytes that are no message.
    Garbage,
    /// The connection is closed.
    Close,
    /// Nothing, ever.
    Silence,
}

type Script = dyn Fn(&str) -> Answer + Send + Sync;

/// The server. It ends when it is dropped.
pub(in crate::control) struct Fake {
    pub(in crate::control) addr: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    task: AbortHandle,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    /// Starts it; `script` gets the name that is asked for, `agent-echo.service.consul.`
    pub(in crate::control) async fn start(script: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (log, script): (_, Arc<Script>) = (asked.clone(), Arc::new(script));
        let serve = async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(converse(socket, log.clone(), script.clone()));
            }
        };
        Fake { addr, asked, task: tokio::spawn(serve).abort_handle() }
    }

    /// The names that were asked for.
    pub(in crate::control) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn converse(mut socket: TcpStream, log: Arc<Mutex<Vec<String>>>, script: Arc<Script>) {
    loop {
        let Ok(length) = socket.read_u16().await else { return };
        let mut question = vec![0; length.into()];
        if socket.read_exact(&mut question).await.is_err() {
            return;
        }
        let question = Message::from_vec(&question).unwrap();
        let name = question.queries[0].name().clone();
        log.lock().unwrap().push(name.to_ascii());
        let mut answer = question.into_response();
        let bytes = match script(&name.to_ascii()) {
            Answer::Instances(instances) => with(answer, &name, &instances),
            Answer::Stranger(instances) => {
                with(answer, &Name::from_ascii("bank.example.").unwrap(), &instances)
            }
            Answer::Cut(instances) => {
                answer.metadata.truncation = true;
                with(answer, &name, &instances)
            }
            Answer::Code(code) => {
                answer.metadata.response_code = code;
                answer.to_vec().unwrap()
            }
            Answer::Garbage => vec![0xff; 100],
            Answer::Close => return,
            Answer::Silence => continue,
        };
        let length = u16::try_from(bytes.len()).unwrap();
        if socket.write_u16(length).await.is_err() || socket.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

fn with(mut answer: Message, name: &Name, instances: &[(&str, u16, u16)]) -> Vec<u8> {
    for (host, port, weight) in instances {
        let ip = host.parse::<IpAddr>();
        let target = match ip {
            // As Consul names addresses.
            Ok(IpAddr::V4(ip)) => format!("{:08x}.addr.dc1.consul.", ip.to_bits()),
            Ok(IpAddr::V6(ip)) => format!("{:032x}.addr.dc1.consul.", ip.to_bits()),
            Err(_) => format!("{host}."),
        };
        let target = Name::from_ascii(target).unwrap();
        if let Ok(ip) = ip {
            answer.add_additional(Record::from_rdata(target.clone(), 0, RData::from(ip)));
        }
        let srv = SRV::new(1, *weight, *port, target);
        answer.add_answer(Record::from_rdata(name.clone(), 0, RData::SRV(srv)));
    }
    answer.to_vec().unwrap()
}

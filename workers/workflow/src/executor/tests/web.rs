//! A web server that answers what a test wrote down for each path, and remembers what it was sent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// One request as it came.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    /// Method and path.
    pub(super) line: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
}

/// What a path is answered with: the whole message, or nothing to hang for ever.
pub(super) type Answers = fn(&str) -> Option<Vec<u8>>;

pub(super) struct Web {
    pub(super) address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Web {
    /// Serves on a port of its own until the test's runtime ends. Each connection takes one request.
    pub(super) async fn start(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let web = Self { address: listener.local_addr().unwrap().to_string(), asked: Arc::default() };
        let asked = web.asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, answers, asked.clone()));
            }
        });
        web
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// An answer with these headers, each with its line's end.
pub(super) fn answer(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    let body = body.as_ref();
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n");
    Some([head.as_bytes(), body].concat())
}

async fn serve(mut stream: TcpStream, answers: Answers, asked: Arc<Mutex<Vec<Asked>>>) {
    let mut read = Vec::new();
    let request = loop {
        if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
            return;
        }
        if let Some(request) = whole(&read) {
            break request;
        }
    };
    let path = request.line.split(' ').nth(1).unwrap_or_default().to_owned();
    asked.lock().unwrap().push(request);
    match answers(&path) {
        Some(answer) => drop(stream.write_all(&answer).await),
        None => std::future::pending().await,
    }
}

fn whole(read: &[u8]) -> Option<Asked> {
    let text = String::from_utf8_lossy(read);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let line = lines.next()?.trim_end_matches(" HTTP/1.1").to_owned();
    let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
    let headers: BTreeMap<_, _> = lines.filter_map(header).collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    (body.len() >= length).then(|| Asked { line, headers, body: body.to_owned() })
}

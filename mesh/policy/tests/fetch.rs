//! Keys from a URL: a real server answers, and the bounds hold.

#![cfg(feature = "fetch")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use switchboard_policy::fetch;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// What comes of one request that is answered so.
async fn fetched(answer: impl AsRef<[u8]>) -> Result<String, String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4_096];
        let length = stream.read(&mut request).await.unwrap();
        assert!(request[..length].starts_with(b"GET /keys HTTP/1.1\r\n"));
        // The client may hang up before it has read all.
        let _ = stream.write_all(answer.as_ref()).await;
    };
    let (body, ()) = tokio::join!(fetch(&url), serve);
    body.map_err(|error| error.to_string())
}

#[tokio::test]
async fn the_body_is_given_as_it_came() {
    let body = fetched("HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{\"keys\":[]}").await;
    assert_eq!(body.as_deref(), Ok("{\"keys\":[]}"));
}

#[tokio::test]
async fn other_answers_are_errors_that_name_the_url() {
    let head = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
    let moved = fetched(head).await.unwrap_err();
    assert!(moved.contains("/keys: answered 302"), "{moved}");
    let gone = fetched("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await.unwrap_err();
    assert!(gone.contains("answered 404"), "{gone}");
    let long = format!("HTTP/1.1 200 OK\r\ncontent-length: {0}\r\n\r\n{1}", 2 << 20, "a".repeat(2 << 20));
    assert!(fetched(long).await.unwrap_err().contains("more than 1 MiB"));
    let bytes = [b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n".as_slice(), b"\xff\xfe"].concat();
    assert!(fetched(bytes).await.unwrap_err().contains("no text"));
    let cut = fetched("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{").await.unwrap_err();
    assert!(cut.contains("/keys: "), "{cut}");
}

#[tokio::test]
async fn other_machines_are_asked_by_https_only() {
    let error = fetch("http://issuer.example/keys").await.unwrap_err().to_string();
    assert!(error.contains("must be https"), "{error}");
}

//! A call is routed, and judged, by one ID: what could be read as two is refused.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::support::*;
use bytes::{BufMut, Bytes, BytesMut};
use flate2::{Compression, write::GzEncoder};
use prost::Message;
use std::io::Write;

const TARGET: &str = "x-switchboard-target";

/// Two backends, of which the client is after `evil`.
struct Rig {
    echo: Backend,
    evil: Backend,
    router: TestRouter,
    client: Client,
}

impl Rig {
    async fn start() -> Self {
        let (echo, evil) = (Backend::echo("echo").await, Backend::echo("evil").await);
        let router = TestRouter::start().await;
        router.set("agent-echo", &[echo.addr]);
        router.set("agent-evil", &[evil.addr]);
        let client = Client::connect(router.addr).await;
        Rig { echo, evil, router, client }
    }

    /// Status and reason of a call that must reach nobody.
    async fn refused(&self, path: &str, headers: &[(&str, &str)], body: Bytes) -> (i32, String) {
        let before = self.echo.streams() + self.evil.streams();
        let answer = self.client.send_all(path, headers, body).await.unwrap();
        assert_eq!(self.echo.streams() + self.evil.streams(), before, "{answer:?}");
        (answer.status(), answer.reason())
    }
}

fn invalid(reason: &str) -> (i32, String) {
    (3, reason.to_owned())
}

/// Field 2 of a request, the ID.
fn id_field(id: &str) -> Vec<u8> {
    [&[0x12, u8::try_from(id.len()).unwrap()], id.as_bytes()].concat()
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(plain).unwrap();
    gzip.finish().unwrap()
}

fn compressed(payload: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(1);
    out.put_u32(u32::try_from(payload.len()).unwrap());
    out.put_slice(payload);
    out.freeze()
}

#[test]
fn header_and_body_that_differ_are_refused_in_every_spelling() {
    run(async {
        let rig = Rig::start().await;
        for (header, body, reason) in [
            ("echo-agent", "evil-agent", "ID_MISMATCH"),
            ("echo", "evil", "ID_MISMATCH"),
            ("echo-agent@v1", "echo-agent", "ID_MISMATCH"),
            ("ECHO-AGENT", "evil-agent", "ID_ILL_FORMED"),
            ("echo-agent", "EVIL-AGENT", "ID_ILL_FORMED"),
            ("echo%2dagent", "echo-agent", "ID_ILL_FORMED"),
            ("echo-agent", "%65cho-agent", "ID_ILL_FORMED"),
            ("echo-agent,evil-agent", "echo-agent", "ID_ILL_FORMED"),
            ("echo-agent", "echo-agent\0evil-agent", "ID_ILL_FORMED"),
            ("echo-agent", "echo-agent\n", "ID_ILL_FORMED"),
            ("echo-agent", "echo-agent ", "ID_ILL_FORMED"),
            // A Cyrillic e, a full-width hyphen, a zero-width joiner.
            ("echo-agent", "\u{435}cho-agent", "ID_ILL_FORMED"),
            ("echo-agent", "echo\u{ff0d}agent", "ID_ILL_FORMED"),
            ("echo-agent", "echo\u{200d}-agent", "ID_ILL_FORMED"),
            ("", "echo-agent", "ID_ILL_FORMED"),
        ] {
            let body = frame(&task(body, "x").encode_to_vec());
            let refused = rig.refused(EXECUTE_TASK, &[(TARGET, header)], body).await;
            assert_eq!(refused, invalid(reason), "{header:?}");
        }
        for headers in [
            [(TARGET, "echo-agent"), (TARGET, "evil-agent")],
            [(TARGET, "evil-agent"), (TARGET, "echo-agent")],
            [(TARGET, "echo-agent"), (TARGET, "echo-agent")],
            [(TARGET, "echo-agent"), (TARGET, "")],
        ] {
            let body = frame(&task("echo-agent", "x").encode_to_vec());
            assert_eq!(rig.refused(EXECUTE_TASK, &headers, body).await, invalid("ID_ILL_FORMED"));
        }
    });
}

#[test]
fn of_a_repeated_field_the_last_one_routes_as_every_decoder_reads_it() {
    run(async {
        let rig = Rig::start().await;
        let twice = [task("evil-agent", "x").encode_to_vec(), id_field("echo-agent")].concat();
        let answer = rig.client.send_all(EXECUTE_TASK, &[], frame(&twice)).await.unwrap();
        assert_eq!((answer.status(), rig.echo.streams(), rig.evil.streams()), (0, 1, 0));
        // The header must name that one.
        let refused = rig.refused(EXECUTE_TASK, &[(TARGET, "evil-agent")], frame(&twice)).await;
        assert_eq!(refused, invalid("ID_MISMATCH"));
        // An empty one at the end is the last one as well.
        let emptied = [task("echo-agent", "x").encode_to_vec(), vec![0x12, 0]].concat();
        assert_eq!(rig.refused(EXECUTE_TASK, &[], frame(&emptied)).await, invalid("ID_MISSING"));
        // A field of that number in a group, or of another wire type, is not the ID.
        for other in [&[0x10, 1][..], &[0x15, 1, 2, 3, 4], &[0xdb, 0x3e, 0x12, 1, b'x', 0xdc, 0x3e]] {
            let body = [task("echo-agent", "x").encode_to_vec(), other.to_vec()].concat();
            let headers = [(TARGET, "evil-agent")];
            assert_eq!(rig.refused(EXECUTE_TASK, &headers, frame(&body)).await, invalid("ID_MISMATCH"));
        }
    });
}

#[test]
fn an_id_beyond_what_is_searched_ends_the_call_plain_or_compressed() {
    run(async {
        let rig = Rig::start().await;
        // Text that gzip cannot shrink much.
        let text: String = (0u32..60_000).map(|i| format!("{:x}", i.wrapping_mul(2_654_435_761))).collect();
        let long = [task("echo-agent", &text).encode_to_vec(), id_field("evil-agent")].concat();
        let gzipped = [("grpc-encoding", "gzip")];
        for (headers, body) in [(&[][..], frame(&long)), (&gzipped[..], compressed(&gzip(&long)))] {
            let answer = rig.client.send_all(EXECUTE_TASK, headers, body).await.unwrap();
            assert_eq!((answer.status(), answer.reason()), invalid("ID_AMBIGUOUS"), "{headers:?}");
            assert_eq!(rig.evil.streams(), 0);
        }
        rig.router.settled().await;
    });
}

#[test]
fn a_compressed_first_message_cannot_mean_two_things_or_cost_much() {
    run(async {
        let rig = Rig::start().await;
        let gzipped = [("grpc-encoding", "gzip")];
        let echo = gzip(&task("echo-agent", "x").encode_to_vec());
        let evil = gzip(&task("evil-agent", "x").encode_to_vec());
        let bomb = gzip(&task("echo-agent", &"x".repeat(64 << 20)).encode_to_vec());
        let cut = &echo[..echo.len() - 9];
        for payload in [&[&evil[..], &echo].concat()[..], &[&echo[..], b"\0"].concat(), &bomb, cut] {
            let refused = rig.refused(EXECUTE_TASK, &gzipped, compressed(payload)).await;
            assert_eq!(refused, invalid("MESSAGE_UNREADABLE"), "{}", payload.len());
        }
        let refused =
            rig.refused(EXECUTE_TASK, &[gzipped[0], (TARGET, "evil-agent")], compressed(&echo)).await;
        assert_eq!(refused, invalid("ID_MISMATCH"));
    });
}

#[test]
fn a_second_message_does_not_name_another_backend() {
    run(async {
        let rig = Rig::start().await;
        let two = [
            frame(&task("echo-agent", "x").encode_to_vec()),
            frame(&task("evil-agent", "x").encode_to_vec()),
        ]
        .concat();
        let answer = rig.client.send_all(EXECUTE_TASK, &[], two.into()).await.unwrap();
        assert_eq!((answer.status(), rig.echo.streams(), rig.evil.streams()), (0, 1, 0));
    });
}

/// A server that cuts the query off would run the method of the contract, whose message names another ID than the header.
#[test]
fn a_path_that_can_be_read_in_two_ways_is_no_method() {
    run(async {
        let rig = Rig::start().await;
        let body = || frame(&task("evil-agent", "x").encode_to_vec());
        for path in [
            "/agentplatform.AgentService/ExecuteTask?",
            "/agentplatform.AgentService/ExecuteTask?x=1",
            "/agentplatform.AgentService/ExecuteTask/",
            "/agentplatform.AgentService//ExecuteTask",
            "//agentplatform.AgentService/ExecuteTask",
            "/x/../agentplatform.AgentService/ExecuteTask",
            "/agentplatform.AgentService/./ExecuteTask",
            "/agentplatform.AgentService/Execute%54ask",
            "/agentplatform.AgentService%2fExecuteTask",
            "/agentplatform.AgentService%2FExecuteTask",
            "/agentplatform.AgentService/ExecuteTask;v=1",
            "/agentplatform.AgentService/ExecuteTask,",
        ] {
            let refused = rig.refused(path, &[(TARGET, "echo-agent")], body()).await;
            assert_eq!(refused, (12, "BAD_PATH".to_owned()), "{path}");
        }
        // Another case is another method, for the router as for every server.
        let path = "/AgentPlatform.AgentService/executetask";
        let refused = rig.refused(path, &[], body()).await;
        assert_eq!(refused, (12, "GRPC_SERVICE_UNKNOWN".to_owned()));
    });
}

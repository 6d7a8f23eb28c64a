//! What both programs of `make chaos` share: a gRPC service whose messages are plain bytes.
//!
//! `chaos-load` makes calls at a fixed rate and accounts for each; `chaos-bytes` is the backend for what no backend of
//! the platform does (streams in both directions, endless ones, very large messages). The runner is `run.py`.

/// The service's full name, by which routers find it.
pub const SERVICE: &str = "chaos.Bytes";

/// The largest message that the service sends or takes: as much as a router passes.
pub const MAX_MESSAGE_BYTES: usize = 128 << 20;

/// The service's methods, as paths.
pub mod path {
    /// Unary: answers with the request.
    pub const ECHO: &str = "/chaos.Bytes/Echo";
    /// Unary: answers with the request's length in decimal digits.
    pub const SIZE: &str = "/chaos.Bytes/Size";
    /// Unary: answers with as many zeros as the request's decimal digits say.
    pub const BLOB: &str = "/chaos.Bytes/Blob";
    /// Unary: answers with the number of messages that all `Endless` streams have made so far, in decimal digits.
    pub const PRODUCED: &str = "/chaos.Bytes/Produced";
    /// Both directions: answers each message with itself.
    pub const CHAT: &str = "/chaos.Bytes/Chat";
    /// Server streaming: messages of the request's length, without an end.
    pub const ENDLESS: &str = "/chaos.Bytes/Endless";
}

//! HTTP/2 (RFC 9113) and HPACK (RFC 7541) without I/O, for both roles: bytes in, events out; calls in, bytes out.
//!
//! It stands between the router's event loop, which owns sockets and clock, and its calls. It opens no socket, reads no
//! clock and starts no thread, so tests, fuzzing and benches drive it directly.
//!
//! - [`Connection`] is one end of one connection: frames, settings, flow control, stream states, flood limits.
//! - [`Headers`] is the flat field list that it reads into; [`hpack`] encodes and decodes it.
//! - [`frame`] is the frame codec, public for tests and tools that script a peer byte by byte.
//!
//! What it does not do: server push (refused), priorities (ignored, RFC 9113 section 5.3), upgrade from HTTP/1.1 and
//! extended CONNECT.

mod config;
mod connection;
mod error;
mod facts;
pub mod frame;
mod headers;
pub mod hpack;

pub use config::Config;
pub use connection::{Connection, Event, HeadersKind, NO_KEY, Step, StreamId};
pub use error::{ConnectionError, ErrorCode, OpenError};
pub use headers::{Field, Headers, HeadersIter};

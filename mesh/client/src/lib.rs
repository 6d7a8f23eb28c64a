//! The client of the mesh: one address, and every agent, tool and worker by its ID.
//!
//! ```no_run
//! # async fn example() -> Result<(), switchboard_client::Error> {
//! let client = switchboard_client::Client::connect("http://127.0.0.1:50051").await?;
//! let answer = client.execute("echo-agent", "hello", [("loud", "yes")]).await?;
//! println!("{}", answer.output);
//! # Ok(())
//! # }
//! ```
//!
//! A call passes the files in this order:
//!
//! | File | Step |
//! |---|---|
//! | `agents`, `tools`, `workers` | typed helpers: build the message, say whether the call may be repeated |
//! | `workflow` | workflows: submit with a key, watch through broken streams |
//! | `call` | deadline, attempts, the stream with its deadline |
//! | `retry` | whether a failure is worth another attempt, and when |
//! | `token` | what proves who calls, beside the connection's certificate |
//! | `pool` | the HTTP/2 connections to the one address, plain or over TLS |
//! | `error` | what a failure says: code, reason, what to do next |
//!
//! It does not resolve IDs and does not balance: the router does both.

mod agents;
mod call;
mod client;
mod error;
mod pool;
mod retry;
mod settings;
mod token;
mod tools;
mod workers;
mod workflow;

pub use call::TaskStream;
pub use client::{Client, Config};
pub use error::{Answer, Error};
pub use retry::RetryPolicy;
pub use settings::router_address;
pub use switchboard_transport::{ClientTls, TlsFailure};
pub use token::Token;
pub use workflow::{Schedules, Updates, Workflows};

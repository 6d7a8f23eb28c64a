//! The workflow engine: durable workflows of agents, tools and workers, as the service `worker-workflow`.
//!
//! | module | what |
//! |---|---|
//! | [`api`] | what the world calls |
//! | [`attempt`] | what passes between engine and executors |
//! | [`engine`] | the loop that owns every live workflow |
//! | [`http`] | the same as REST with JSON, events as SSE and over WebSocket |
//! | [`log`] | a line of a workflow's log |
//! | [`executor`] | makes attempts: calls, HTTP requests, work for external workers |
//! | [`spec`] | from a request to what the state machine runs, with everything that is wrong with it |
//! | [`worker`] | the process's parts, from their start to their ordered end |

pub mod api;
pub mod attempt;
pub mod engine;
pub mod executor;
pub mod http;
pub mod log;
pub mod spec;
pub mod worker;

//! The workflow engine: durable workflows of agents, tools and workers, as the service `worker-workflow`.
//!
//! | module | what |
//! |---|---|
//! | [`attempt`] | what passes between engine and executors |
//! | [`spec`] | from a request to what the state machine runs, with everything that is wrong with it |

pub mod attempt;
pub mod spec;

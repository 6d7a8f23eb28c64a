//! `load` and `backend` as processes: against each other, and each against what others wrote.

#![allow(clippy::unwrap_used, reason = "tests")]

mod backend;
mod hold;
mod process;
mod shapes;
mod wrong;

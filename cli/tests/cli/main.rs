//! The built binary from outside: arguments in, output and exit code out. One module per behaviour.

mod auth;
mod calls;
mod certs;
mod dev;
mod offline;
mod process;
mod readme;
mod schedules;
mod secure;
mod top;
mod usage;
mod workflows;

//! Behaviour of the data plane: real sockets, scripted peers on both sides, one file per behaviour.

mod errors;
mod support;
mod unary;

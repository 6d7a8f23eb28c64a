//! TLS on both sides: who may connect, what goes through, what does not hold up anybody else.

mod downstream;
mod flood;
mod rotation;
mod through;
mod upstream;

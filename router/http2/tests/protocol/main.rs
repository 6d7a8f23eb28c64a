//! The rules of RFC 9113, one file per behaviour, against a peer that is scripted frame by frame. No sockets.

mod continuation;
mod data;
mod flow_control;
mod goaway;
mod limits;
mod malformed;
mod padding;
mod ping;
mod preface;
mod priority;
mod script;
mod sending;
mod settings;
mod shares;
mod splits;
mod stream_states;
mod window_change;

//! What the bytes of a connection come to.

use super::CallKey;
use crate::observe::Outcome;
use switchboard_http2::ErrorCode;

/// What came of bytes that were handed in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    /// So many were consumed.
    pub(crate) bytes: usize,
    /// The rest may hold whole frames: it is to be handed in again in the next turn, before anything is read.
    pub(crate) more: bool,
}

/// What is left to do after an event, once the connection that it borrowed is back in its slot.
#[derive(Debug)]
pub(crate) enum Next {
    Nothing,
    /// A new call: see whether its headers are enough to route it.
    Admit {
        call: CallKey,
    },
    /// More of the first message came.
    Route {
        call: CallKey,
    },
    Fail {
        call: CallKey,
        error: Box<crate::error::Error>,
    },
    /// The client gave the call up, or broke a rule on its stream.
    Cancelled {
        call: CallKey,
        outcome: Outcome,
    },
    /// The peer's settings are known.
    Ready,
    /// The instance answered that it is unavailable, and the call may be sent again.
    Retry {
        call: CallKey,
        wait_ms: u64,
    },
    /// The first of the response came, while another instance had been asked as well.
    Decided {
        call: CallKey,
    },
    /// The instance's response is complete.
    Responded {
        call: CallKey,
        code: u8,
        outcome: Outcome,
    },
    UpstreamReset {
        call: CallKey,
        code: ErrorCode,
    },
    UpstreamBroken {
        call: CallKey,
        code: ErrorCode,
        reason: &'static str,
    },
    GoAway {
        last_stream: u32,
    },
    /// The client has seen the first GOAWAY.
    Drained,
}

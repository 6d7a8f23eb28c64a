//! What routers hold the calls of a backend to. It is registered with each instance; all should say the same, because a
//! router goes by the first healthy one. What is not set is the router's own setting.

use super::Backend;
use std::time::Duration;

impl Backend {
    /// Sets the deadline of unary calls whose client sent none, at most 24 h. A client that sends one may go beyond it.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.description.limits.timeout = Some(limit);
        self
    }

    /// Sets the longest deadline of unary calls, whoever set it, at most 24 h. Streams are not ended by it.
    pub fn timeout_max(mut self, limit: Duration) -> Self {
        self.description.limits.timeout_max = Some(limit);
        self
    }

    /// Sets how long a call may pass no bytes, at most 24 h; zero is for ever.
    pub fn stream_idle(mut self, limit: Duration) -> Self {
        self.description.limits.stream_idle = Some(limit);
        self
    }

    /// Sets how long calls may go on at an instance that left the registry or fails its check, at most 24 h; zero is
    /// for ever. The router adds up to a tenth, so that they do not all end at once.
    pub fn drain_streams_after(mut self, limit: Duration) -> Self {
        self.description.limits.drain_streams_after = Some(limit);
        self
    }

    /// Sets the longest message in bytes, in either direction, as it goes over the wire.
    pub fn max_message_bytes(mut self, bytes: u32) -> Self {
        self.description.limits.max_message_bytes = Some(bytes);
        self
    }

    /// Sets how many calls may wait for the service on each worker thread of a router; those beyond it are refused.
    pub fn max_queue(mut self, calls: u32) -> Self {
        self.description.limits.max_queue = Some(calls);
        self
    }

    /// Sets how many calls may be in flight over one router; those beyond it are refused.
    pub fn max_calls(mut self, calls: u32) -> Self {
        self.description.limits.max_calls = Some(calls);
        self
    }
}

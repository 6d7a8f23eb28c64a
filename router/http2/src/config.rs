//! Limits of a connection. Each has a default that suits gRPC between services; nothing here is read from a file.

/// Limits and advertised settings of one [`Connection`](crate::Connection).
///
/// The flood budgets are token buckets: `burst` tokens at the start, refilled at `per_second`. An empty bucket ends the
/// connection with ENHANCE_YOUR_CALM. They bound what a hostile peer costs; ordinary gRPC stays far below each.
#[derive(Clone, Debug)]
pub struct Config {
    /// Largest decoded header list in bytes (RFC 9113 section 10.5.1), advertised and enforced. The encoded block may be
    /// twice as large before the connection ends, so that one oversized call does not cost its neighbours theirs.
    pub header_list_max: u32,
    /// Size in bytes of our HPACK decoder's dynamic table, advertised.
    pub header_table_size: u32,
    /// The most, in bytes, that is used of the peer's HPACK table.
    pub encoder_table_max: u32,
    /// Largest accepted frame payload in bytes, advertised; 16,384 to 16,777,215.
    pub max_frame_size: u32,
    /// Receive window of a stream in bytes.
    pub stream_window: u32,
    /// Receive window of the connection in bytes (at least 65,535, which the protocol gives to every connection). Credited
    /// on receipt, so that a stalled stream never blocks its neighbours.
    pub connection_window: u32,
    /// Server: streams a client may have open, advertised and enforced with REFUSED_STREAM. Client: streams opened at
    /// most, together with the peer's own limit.
    pub max_concurrent_streams: u32,
    /// CONTINUATION frames of one header block (CVE-2024-27316).
    pub max_continuation_frames: u32,
    /// Output bytes above which DATA waits in its stream instead of entering the output.
    pub output_high_water: usize,
    /// DATA joins the stream's frame that is last in the output: peers pay per frame, and some count small ones as an
    /// attack. Without it every [`Connection::send_data`](crate::Connection::send_data) begins a frame, as the servers of
    /// most gRPC libraries do with every message.
    pub join_data: bool,
    /// RST_STREAM frames a client may send, or make us send, per second (CVE-2023-44487, CVE-2025-8671).
    pub resets_per_second: u32,
    /// Burst of the same.
    pub resets_burst: u32,
    /// PING frames per second. Each DATA frame that is sent adds one, because peers measure bandwidth with a PING per batch.
    pub pings_per_second: u32,
    /// Burst of the same.
    pub pings_burst: u32,
    /// SETTINGS frames per second.
    pub settings_per_second: u32,
    /// Burst of the same.
    pub settings_burst: u32,
    /// DATA frames in a row without payload and END_STREAM; any useful frame starts the count anew.
    pub empty_data_burst: u32,
    /// WINDOW_UPDATE frames of less than 1 KiB, or on closed streams, per second. Each DATA frame that is sent adds four.
    pub window_updates_per_second: u32,
    /// Burst of the same.
    pub window_updates_burst: u32,
    /// Frames per second that are ignored by rule: PRIORITY, unknown types, RST_STREAM and HEADERS of closed streams. Each
    /// accepted HEADERS adds two, each reset of the caller three.
    pub priority_per_second: u32,
    /// Burst of the same.
    pub priority_burst: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // The largest trailers seen in the field are 16 to 60 KiB.
            header_list_max: 64 << 10,
            header_table_size: 4096,
            encoder_table_max: 4096,
            max_frame_size: 16_384,
            stream_window: 1 << 20,
            // At least four stream windows, or equal sizes can deadlock a reader of A that waits for B.
            connection_window: 16 << 20,
            max_concurrent_streams: 1024,
            // 32 frames of the smallest maximum are 512 KiB, beyond any accepted block.
            max_continuation_frames: 32,
            output_high_water: 256 << 10,
            join_data: true,
            // Twice the rate of a client that cancels 100 calls per second, and all streams at once, twice.
            resets_per_second: 200,
            resets_burst: 2048,
            pings_per_second: 20,
            pings_burst: 200,
            settings_per_second: 5,
            settings_burst: 50,
            empty_data_burst: 100,
            window_updates_per_second: 1000,
            window_updates_burst: 10_000,
            priority_per_second: 200,
            priority_burst: 2048,
        }
    }
}

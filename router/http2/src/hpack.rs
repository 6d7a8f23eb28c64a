//! HPACK (RFC 7541): header lists to octets and back.
//!
//! One [`Decoder`] and one [`Encoder`] stand on every connection, one per direction, because the dynamic table is state
//! that both ends of a direction share. They see whole header blocks: joining HEADERS and CONTINUATION, and splitting a
//! block into frames, is the connection's work, and so is every rule about which fields a message may have.

mod decoder;
mod encoder;
pub(crate) mod hash;
mod huffman;
mod index;
mod integer;
pub(crate) mod known_names;
mod repeats;
mod run;
pub(crate) mod static_table;
mod table;

pub use decoder::{Decoded, Decoder};
pub use encoder::Encoder;

/// The size of a dynamic table before any settings: the initial SETTINGS_HEADER_TABLE_SIZE (RFC 9113 section 6.5.2).
pub const DEFAULT_TABLE_SIZE: usize = 4096;

/// Why a block could not be decoded. Each is the connection error COMPRESSION_ERROR (RFC 9113 section 4.3): after it the
/// tables of both ends may differ, and nothing that follows can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The block ends within a field.
    #[error("header block ends within a field")]
    Truncated,
    /// An integer does not fit 32 bits, or is padded to more than five continuation octets (RFC 7541 section 5.1).
    #[error("integer too large")]
    IntegerOverflow,
    /// Index 0, or beyond both tables (RFC 7541 sections 2.3.3 and 6.1).
    #[error("invalid table index")]
    InvalidIndex,
    /// A Huffman string contains EOS or is not padded as RFC 7541 section 5.2 demands.
    #[error("invalid huffman string")]
    InvalidHuffman,
    /// A table size update after the first field of a block (RFC 7541 section 4.2).
    #[error("table size update after a field")]
    MisplacedSizeUpdate,
    /// A table size update above the size that our settings allow (RFC 7541 section 6.3).
    #[error("table size update above the limit")]
    SizeUpdateTooLarge,
    /// Our settings reduced the table, and the block does not begin by saying so (RFC 7541 section 4.2).
    #[error("table size update missing after the limit was reduced")]
    MissingSizeUpdate,
    /// The list is many times larger than its limit. Not an error of HPACK's: one octet can name 4 KiB of the table, and
    /// a peer that sends thousands of them wants the decoder to work.
    #[error("header list far too large")]
    ListFarTooLarge,
}

//! The contract: generated messages, clients and servers, and the descriptor set they come from.
//!
//! Holds no logic. The `.proto` files beside this crate's manifest are the source; see
//! `switchboard/route.proto` for the options that tell the router where a request carries its ID.

mod codec;
pub mod rpc;

pub use codec::BytesCodec;

/// Agents, tools and task workers (`agent_platform.proto`).
#[expect(missing_docs, reason = "generated; the .proto files are documented")]
pub mod agentplatform {
    tonic::include_proto!("agentplatform");
}

/// Workflows (`goclaw/v1/*.proto`).
pub mod goclaw {
    /// The only version. Which files and fields are the origin's, and which are ours, stands in `common.proto`.
    ///
    /// Maps are kept in order, so the same message always encodes to the same bytes.
    #[expect(missing_docs, reason = "generated; the .proto files are documented")]
    pub mod v1 {
        tonic::include_proto!("goclaw.v1");
    }
}

/// Routing options (`switchboard/route.proto`).
#[expect(missing_docs, reason = "generated; the .proto files are documented")]
pub mod switchboard {
    tonic::include_proto!("switchboard");
}

/// The encoded `FileDescriptorSet` of all protos with their imports and with extension options kept:
/// for reflection, and for the router's route table.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor_set.bin"));

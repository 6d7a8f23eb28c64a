//! Why a backend could not start or end; each message says what to do.

use std::net::SocketAddr;
use switchboard_registry::IdError;

/// Describes why a backend could not start, or ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name given to the backend makes no ID that clients could call.
    #[error("{name:?} is no name of a backend")]
    Name {
        /// As given.
        name: String,
        /// What is allowed.
        #[source]
        source: IdError,
    },
    /// A flag or variable cannot be used.
    #[error("{setting}: {value:?} is not usable: expected {expected}")]
    Setting {
        /// Flag or variable.
        setting: &'static str,
        /// As given.
        value: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// A setting needs another one, which is not made.
    #[error("{setting} is set, but {missing} is not: both are needed (or the flags of the same names)")]
    Incomplete {
        /// Variable.
        setting: &'static str,
        /// Variable.
        missing: &'static str,
    },
    /// The certificates of the listener cannot be used.
    #[error("the listener's certificates cannot be used: {0}")]
    Tls(#[from] switchboard_transport::Error),
    /// The credentials' or the policy's settings or files cannot be used.
    #[error("the policy cannot be used: {0}")]
    Policy(#[from] switchboard_policy::Error),
    /// The settings of the registry cannot be used. A registry that is down is no error.
    #[error("the registry's settings cannot be used")]
    Registry(#[from] switchboard_registry::Error),
    /// The address is taken or not ours.
    #[error("cannot listen on {addr}: does another process? (--listen 0.0.0.0:0 takes any free port)")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// The reason.
        #[source]
        source: std::io::Error,
    },
    /// The address of a listener beside gRPC is taken or not ours.
    #[error(
        "cannot listen on {addr} for {name}: does another process? (--{name} ADDR takes another address, --{name} off does \
         without)"
    )]
    Listener {
        /// The listener, which is also its flag.
        name: &'static str,
        /// The address.
        addr: SocketAddr,
        /// The reason.
        #[source]
        source: std::io::Error,
    },
    /// A descriptor set given for reflection is none.
    #[error("a descriptor set cannot be decoded")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The handlers of SIGTERM and SIGINT cannot be installed.
    #[error("cannot wait for signals")]
    Signals(#[source] std::io::Error),
    /// A second signal came while calls were being drained; the process should exit at once.
    #[error("stopped by a second signal before all calls had ended")]
    Interrupted,
}

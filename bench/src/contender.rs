//! Who is measured, and how each is started on this machine: one thread each, access log off, one backend behind it.
//!
//! | name | what it is |
//! |---|---|
//! | `direct` | nothing between load generator and backend |
//! | `haproxy-tcp`, `haproxy-http`, `nginx`, `envoy` | the peers, with the settings in `bench/peers/` |
//! | `hyper`, `tonic` | the small proxies of this crate |
//! | `router` | Switchboard's router as shipped, with a real Consul |
//! | `haproxy-tls`, `nginx-tls`, `envoy-tls`, `router-tls` | TLS 1.3 with TLS_AES_128_GCM_SHA256 on both sides |
//!
//! [`Site`] holds what stands still behind all of them (backend, Consul, certificates); [`Site::start`] starts one.

pub(crate) mod binary;
mod certificates;
mod consul;
mod peers;
pub(crate) mod port;
pub(crate) mod process;
mod router;
mod site;
mod template;

pub(crate) use site::{Options, Running, Site};

use clap::ValueEnum;
pub(crate) use consul::description;

/// A name of the table above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Contender {
    Direct,
    HaproxyTcp,
    HaproxyHttp,
    Nginx,
    Envoy,
    Hyper,
    Tonic,
    Router,
    HaproxyTls,
    NginxTls,
    EnvoyTls,
    RouterTls,
}

impl Contender {
    /// The name in results and tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::HaproxyTcp => "haproxy-tcp",
            Self::HaproxyHttp => "haproxy-http",
            Self::Nginx => "nginx",
            Self::Envoy => "envoy",
            Self::Hyper => "hyper",
            Self::Tonic => "tonic",
            Self::Router => "router",
            Self::HaproxyTls => "haproxy-tls",
            Self::NginxTls => "nginx-tls",
            Self::EnvoyTls => "envoy-tls",
            Self::RouterTls => "router-tls",
        }
    }

    /// Whether it speaks TLS, to clients and to the backend.
    pub(crate) const fn tls(self) -> bool {
        matches!(self, Self::HaproxyTls | Self::NginxTls | Self::EnvoyTls | Self::RouterTls)
    }

    /// The one whose CPU time the others' is divided by.
    pub(crate) const fn yardstick(self) -> Self {
        if self.tls() { Self::RouterTls } else { Self::Router }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_takes_the_names_of_the_results() {
        for contender in Contender::value_variants() {
            assert_eq!(Contender::from_str(contender.name(), false), Ok(*contender));
        }
    }

    #[test]
    fn tls_is_compared_with_tls() {
        assert_eq!(Contender::EnvoyTls.yardstick(), Contender::RouterTls);
        assert_eq!(Contender::Direct.yardstick(), Contender::Router);
    }
}

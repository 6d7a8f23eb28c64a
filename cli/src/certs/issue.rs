//! `certs issue`, and what the certificate of each kind of holder says.

use std::net::IpAddr;
use std::time::Duration;

use switchboard_transport::authority::Subject;

use crate::args::certs::Issue;
use crate::certs::Error;
use crate::certs::store::Store;

/// Names of files that `certs` makes by itself.
const RESERVED: [&str; 5] = ["ca", "client", "admin", "consul", "jwt"];

/// A label of DNS (RFC 1035); Consul asks for no more, and a path could be hidden in anything else.
const MAX_NAME_BYTES: usize = 63;

/// A name of DNS (RFC 1035).
const MAX_HOST_BYTES: usize = 253;

/// Makes the certificates that were asked for; says in which files they are.
pub(super) fn run(asked: &Issue) -> Result<String, Error> {
    let store = Store::open(&asked.dir)?;
    let authority = store.authority()?;
    let lifetime = days(asked.days);
    let mut wanted = Vec::new();
    for name in &asked.services {
        wanted.push((name, service(name, &asked.hosts, lifetime)?));
    }
    if let Some(name) = &asked.client {
        wanted.push((name, client(checked_client(name)?, asked.role.as_deref(), lifetime)?));
    }
    let mut said = String::new();
    for (name, subject) in wanted {
        store.issue(&authority, name, &subject)?;
        let (cert, key) = (store.path(&format!("{name}.pem")), store.path(&format!("{name}.key")));
        said.push_str(&format!("{} {}\n", cert.display(), key.display()));
    }
    Ok(said)
}

/// The number of days as a time.
pub(super) fn days(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * 24 * 3600)
}

/// An instance of a service: both ends of its connections know it by that name.
pub(super) fn service(name: &str, hosts: &[String], lifetime: Duration) -> Result<Subject, Error> {
    let refused = |problem| Err(Error::Name { what: "--service", name: name.to_owned(), problem });
    if RESERVED.contains(&name) {
        return refused("the name is used for another file of the directory");
    }
    if !is_label(name) {
        return refused(
            "a service is named by lower-case letters, digits and hyphens, at most 63: agent-poet",
        );
    }
    with_hosts(Subject { lifetime, ..Subject::service(name) }, hosts)
}

/// A caller with its role.
pub(super) fn client(name: &str, role: Option<&str>, lifetime: Duration) -> Result<Subject, Error> {
    let stands = |role: &str| {
        (1..=MAX_NAME_BYTES).contains(&role.len()) && !role.contains(|c: char| c.is_control() || c == ',')
    };
    if let Some(role) = role.filter(|role| !stands(role)) {
        let problem = "a role is a word without commas, at most 63 bytes: caller";
        return Err(Error::Name { what: "--role", name: role.to_owned(), problem });
    }
    Ok(Subject {
        uris: vec![format!("spiffe://switchboard/client/{name}")],
        units: role.map(str::to_owned).into_iter().collect(),
        lifetime,
        ..Subject::new(name)
    })
}

/// A Consul server of the datacenter that Consul has unless it is told another.
pub(super) fn consul(hosts: &[String], lifetime: Duration) -> Result<Subject, Error> {
    let names = ["server.dc1.consul", "consul", "localhost", "127.0.0.1", "::1"];
    let subject =
        Subject { hosts: names.map(str::to_owned).to_vec(), lifetime, ..Subject::new("server.dc1.consul") };
    with_hosts(subject, hosts)
}

fn checked_client(name: &str) -> Result<&str, Error> {
    // `client` and `admin` may be made again with other roles; a service's file may not become a client's by mistake.
    let service = ["agent-", "tool-", "worker-"].iter().any(|kind| name.starts_with(kind));
    let used = service || ["ca", "consul", "jwt", "router"].contains(&name);
    if used || !is_label(name) {
        let problem =
            "a client is named by lower-case letters, digits and hyphens, and not like a service: ci";
        return Err(Error::Name { what: "--client", name: name.to_owned(), problem });
    }
    Ok(name)
}

fn with_hosts(mut subject: Subject, hosts: &[String]) -> Result<Subject, Error> {
    for host in hosts {
        let bare = host.strip_prefix("*.").unwrap_or(host);
        let label = |label: &str| is_label(&label.to_ascii_lowercase());
        let named = host.len() <= MAX_HOST_BYTES && bare.split('.').all(label);
        if !named && host.parse::<IpAddr>().is_err() {
            let problem = "neither a host name nor an IP address; without scheme and port";
            return Err(Error::Name { what: "--host", name: host.clone(), problem });
        }
        subject.hosts.push(host.clone());
    }
    Ok(subject)
}

fn is_label(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=MAX_NAME_BYTES).contains(&name.len())
        && name.chars().all(allowed)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[test]
    fn names_that_are_none_or_lead_elsewhere_are_refused() {
        for name in
            ["", "../x", "a/b", "Agent-echo", "-a", "a-", "a b", "ca", "client", "jwt", &"a".repeat(64)]
        {
            assert!(service(name, &[], DAY).is_err(), "{name:?}");
        }
        for name in ["../x", "router", "ca", "A"] {
            assert!(checked_client(name).is_err(), "{name:?}");
        }
        for role in ["", "a,b", "a\nb"] {
            assert!(client("ci", Some(role), DAY).is_err(), "{role:?}");
        }
    }

    #[test]
    fn hosts_are_names_and_addresses() {
        for host in ["mesh.example.org", "*.example.org", "10.1.2.3", "fd00::1", "Mesh"] {
            let subject = service("agent-poet", &[host.to_owned()], DAY).unwrap();
            assert!(subject.hosts.contains(&host.to_owned()));
        }
        for host in ["", "http://x", "x:80", "a..b", "*", "a b"] {
            assert!(service("agent-poet", &[host.to_owned()], DAY).is_err(), "{host:?}");
        }
    }
}

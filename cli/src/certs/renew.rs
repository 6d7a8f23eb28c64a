//! `certs renew`: new certificates and keys under the same names, and a new authority without a gap.

use std::fmt::Write;

use switchboard_transport::authority::Subject;

use crate::args::certs::Renew;
use crate::certs::Error;
use crate::certs::store::{CA, Store};

/// Does one step of a renewal; says what was done and what comes next.
pub(super) fn run(asked: &Renew) -> Result<String, Error> {
    let store = Store::open(&asked.dir)?;
    let (ca, dir) = (store.path(CA), asked.dir.display());
    if asked.next_ca {
        store.next_authority()?;
        return Ok(format!(
            "{} has the next authority beside the present one\n\
             next: when every process has read it (10 s), `switchboard certs renew {dir}`",
            ca.display()
        ));
    }
    if asked.forget_old_ca {
        let count = store.forget_old_authorities()?;
        return Ok(format!("{}: {count} older authorities are trusted no more", ca.display()));
    }
    let names = certificates(&store)?;
    let mut said = String::new();
    for name in &names {
        writeln!(said, "{}", store.path(&format!("{name}.pem")).display()).expect("text takes text");
    }
    Ok(said)
}

/// Makes every certificate and key again; gives their names.
pub(super) fn certificates(store: &Store) -> Result<Vec<String>, Error> {
    let authority = store.authority()?;
    let names = store.issued()?;
    for name in &names {
        let file = format!("{name}.pem");
        let subject = Subject::of(&store.read(&file)?)
            .ok_or_else(|| Error::Unreadable { path: store.path(&file), what: "a certificate" })?;
        store.issue(&authority, name, &subject)?;
    }
    Ok(names)
}

//! The directory of `certs`: reads and replaces its files.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use switchboard_transport::authority::{Authority, Issued, Subject};

use crate::certs::Error;

/// The authorities that everybody trusts; the first one signs.
pub(super) const CA: &str = "ca.pem";
const CA_KEY: &str = "ca.key";

/// An authority is replaced when its key is suspected, not because it became old: ten years.
const CA_LIFETIME: Duration = Duration::from_secs(3650 * 24 * 3600);

/// Where one PEM certificate ends.
const END: &str = "-----END CERTIFICATE-----\n";

/// A directory of certificates.
#[derive(Debug)]
pub(crate) struct Store {
    dir: PathBuf,
}

impl Store {
    /// Makes the directory and a new authority, which is not yet written.
    pub(super) fn create(dir: &Path) -> Result<(Self, Authority), Error> {
        fs::create_dir_all(dir).map_err(|source| Error::File {
            doing: "create",
            path: dir.to_owned(),
            source,
        })?;
        let store = Self { dir: dir.to_owned() };
        if [CA, CA_KEY].iter().any(|file| store.path(file).exists()) {
            return Err(Error::Exists { dir: dir.to_owned() });
        }
        Ok((store, new_authority()?))
    }

    /// Takes up a directory that holds an authority.
    pub(super) fn open(dir: &Path) -> Result<Self, Error> {
        let store = Self { dir: dir.to_owned() };
        match [CA, CA_KEY].into_iter().find(|file| !store.path(file).exists()) {
            Some(file) => Err(Error::NoAuthority { dir: dir.to_owned(), file }),
            None => Ok(store),
        }
    }

    /// Where a file of this name is.
    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    /// The authority that signs.
    pub(super) fn authority(&self) -> Result<Authority, Error> {
        let broken = |file| Error::Unreadable { path: self.path(file), what: "the authority's PEM" };
        let cert = self.authorities()?.into_iter().next().ok_or_else(|| broken(CA))?;
        Authority::open(Issued { cert, key: self.read(CA_KEY)? }).map_err(|_| broken(CA_KEY))
    }

    /// Writes a new authority, which is the only one that is trusted.
    pub(super) fn write_authority(&self, authority: &Authority) -> Result<(), Error> {
        self.write_secret(CA_KEY, &authority.issued().key)?;
        self.write(CA, &authority.issued().cert)
    }

    /// Makes the next authority, which signs from now on; the others stay trusted.
    pub(super) fn next_authority(&self) -> Result<(), Error> {
        let known = self.read(CA)?;
        let next = new_authority()?;
        self.write(CA, &format!("{}{known}", next.issued().cert))?;
        self.write_secret(CA_KEY, &next.issued().key)
    }

    /// Trusts only the authority that signs; says how many were forgotten.
    pub(super) fn forget_old_authorities(&self) -> Result<usize, Error> {
        let known = self.authorities()?;
        if let [first, _, ..] = known.as_slice() {
            self.write(CA, first)?;
        }
        Ok(known.len().saturating_sub(1))
    }

    fn authorities(&self) -> Result<Vec<String>, Error> {
        let text = self.read(CA)?;
        Ok(text.split_inclusive(END).filter(|part| part.ends_with(END)).map(str::to_owned).collect())
    }

    /// Makes `<name>.pem` and `<name>.key`.
    pub(super) fn issue(&self, authority: &Authority, name: &str, subject: &Subject) -> Result<(), Error> {
        let issued = authority
            .issue(subject)
            .map_err(|source| Error::Certificate { name: name.to_owned(), source })?;
        self.write_secret(&format!("{name}.key"), &issued.key)?;
        self.write(&format!("{name}.pem"), &issued.cert)
    }

    /// The names that have a certificate with a key, in order; not the authority.
    pub(super) fn issued(&self) -> Result<Vec<String>, Error> {
        let failed = |source| Error::File { doing: "read", path: self.dir.clone(), source };
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(failed)? {
            let file = entry.map_err(failed)?.file_name();
            let name = file.to_str().and_then(|file| file.strip_suffix(".pem"));
            if let Some(name) =
                name.filter(|name| *name != "ca" && self.path(&format!("{name}.key")).exists())
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Reads a file as text.
    pub(super) fn read(&self, file: &str) -> Result<String, Error> {
        let path = self.path(file);
        fs::read_to_string(&path).map_err(|source| Error::File { doing: "read", path, source })
    }

    /// Replaces a file that everybody may read.
    pub(super) fn write(&self, file: &str, text: &str) -> Result<(), Error> {
        self.replace(file, text, 0o644)
    }

    /// Replaces a file that only its owner may read.
    pub(super) fn write_secret(&self, file: &str, text: &str) -> Result<(), Error> {
        self.replace(file, text, 0o600)
    }

    /// Writes a new file and gives it the name: nobody ever reads half of it, or reads it before its mode is set.
    fn replace(&self, file: &str, text: &str, mode: u32) -> Result<(), Error> {
        let path = self.path(file);
        let fresh = self.path(&format!(".{file}.{}", std::process::id()));
        let written = || -> io::Result<()> {
            let mut open = fs::OpenOptions::new();
            let mut out = open.write(true).create_new(true).mode(mode).open(&fresh)?;
            out.write_all(text.as_bytes())?;
            fs::rename(&fresh, &path)
        };
        written().map_err(|source| {
            // It may not exist, or not be removable; what is told is why it was not written.
            let _ = fs::remove_file(&fresh);
            Error::File { doing: "write", path, source }
        })
    }
}

fn new_authority() -> Result<Authority, Error> {
    // Two authorities of one name would be told apart by their keys only, which no person does.
    let number: u32 = rand::random();
    let name = format!("Switchboard development {number:08x}");
    Authority::new(&name, CA_LIFETIME).map_err(|source| Error::Certificate { name, source })
}

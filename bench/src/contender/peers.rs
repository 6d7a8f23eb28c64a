//! The peers: each is its settings file, its program and the words that make it stay in the foreground.

use super::{Contender, binary, process::Process, site::Options, template};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Everything that stands in templates.
#[derive(Debug)]
pub(super) struct Values<'a> {
    pub(super) port: u16,
    pub(super) backend_port: u16,
    pub(super) folder: &'a Path,
    pub(super) certificates: Option<&'a Path>,
    pub(super) options: &'a Options,
}

impl Values<'_> {
    /// Renders the template into the folder of the run.
    fn write(&self, file: &str, template: &str) -> Result<PathBuf> {
        let (port, backend_port) = (self.port.to_string(), self.backend_port.to_string());
        let (threads, connections) = (self.options.threads.to_string(), self.options.connections.to_string());
        let folder = self.folder.display().to_string();
        let certificates = self.certificates.map(|it| it.display().to_string());
        let mut values = vec![
            ("PORT", port.as_str()),
            ("BACKEND_PORT", &backend_port),
            ("THREADS", &threads),
            ("CONNECTIONS", &connections),
            ("RUN_DIR", &folder),
        ];
        values.extend(certificates.as_deref().map(|folder| ("TLS_DIR", folder)));
        let path = self.folder.join(file);
        let text = template::render(template, &values).with_context(|| format!("bench/peers/{file}"))?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

/// Starts a peer and gives it with its version; it may not listen yet.
pub(super) fn start(contender: Contender, values: &Values<'_>) -> Result<(Process, String)> {
    let (program, config) = match contender {
        Contender::HaproxyTcp => (
            binary::haproxy()?,
            values.write("haproxy_tcp.cfg", include_str!("../../peers/haproxy_tcp.cfg"))?,
        ),
        Contender::HaproxyHttp => {
            (binary::haproxy()?, values.write("haproxy_h2.cfg", include_str!("../../peers/haproxy_h2.cfg"))?)
        }
        Contender::HaproxyTls => (
            binary::haproxy()?,
            values.write("haproxy_tls.cfg", include_str!("../../peers/haproxy_tls.cfg"))?,
        ),
        Contender::Nginx => {
            (binary::nginx()?, values.write("nginx.conf", include_str!("../../peers/nginx.conf"))?)
        }
        Contender::NginxTls => {
            (binary::nginx()?, values.write("nginx_tls.conf", include_str!("../../peers/nginx_tls.conf"))?)
        }
        Contender::EnvoyTls => {
            (binary::envoy()?, values.write("envoy_tls.yaml", include_str!("../../peers/envoy_tls.yaml"))?)
        }
        _ => (binary::envoy()?, values.write("envoy.yaml", include_str!("../../peers/envoy.yaml"))?),
    };
    let mut command = Command::new(&program);
    let version = match contender {
        Contender::HaproxyTcp | Contender::HaproxyHttp | Contender::HaproxyTls => {
            // One process in the foreground.
            command.arg("-db").arg("-f").arg(config);
            version(&program, "-v")?
        }
        Contender::Nginx | Contender::NginxTls => {
            // Until the settings are read, errors go where Debian's build says, which may not exist.
            command.arg("-p").arg(values.folder).arg("-e").arg(values.folder.join("error.log"));
            command.args(["-g", "daemon off;", "-c"]).arg(config);
            version(&program, "-v")?
        }
        _ => {
            // Without hot restart several Envoys of one machine do not meet in shared memory.
            command.args(["--disable-hot-restart", "--log-level", "warning", "--concurrency"]);
            command.arg(values.options.threads.to_string()).arg("-c").arg(config);
            version(&program, "--version")?
        }
    };
    Ok((Process::spawn(contender.name(), command, values.folder)?, version))
}

/// The line in which a program says its version, on either output.
pub(super) fn version(program: &Path, flag: &str) -> Result<String> {
    let answer =
        Command::new(program).arg(flag).output().with_context(|| format!("{} {flag}", program.display()))?;
    let text =
        format!("{}{}", String::from_utf8_lossy(&answer.stdout), String::from_utf8_lossy(&answer.stderr));
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("unknown");
    Ok(tidy(line))
}

/// The program's name and its number: `nginx version: nginx/1.22.1` is `nginx 1.22.1`.
fn tidy(line: &str) -> String {
    let first = line.split_whitespace().next().unwrap_or_default();
    let name = first.rsplit('/').next().unwrap_or_default();
    // Envoy: COMMIT/VERSION/Clean/RELEASE/BoringSSL.
    let mut words = line.split([' ', '/']);
    match words.find(|word| word.contains('.') && word.starts_with(|first: char| first.is_ascii_digit())) {
        Some(number) => format!("{name} {number}"),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_lines_are_short() {
        assert_eq!(tidy("nginx version: nginx/1.22.1"), "nginx 1.22.1");
        assert_eq!(tidy("/x/envoy  version: 9e55/1.40.0/Clean/RELEASE/BoringSSL"), "envoy 1.40.0");
        let haproxy = "HAProxy version 2.6.12-1+deb12u3 2025/10/03 - https://haproxy.org/";
        assert_eq!(tidy(haproxy), "HAProxy 2.6.12-1+deb12u3");
        assert_eq!(tidy("something else"), "something else");
    }

    #[test]
    fn every_template_has_all_its_values() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options::default();
        let values = Values {
            port: 1,
            backend_port: 2,
            folder: folder.path(),
            certificates: Some(Path::new("/certificates")),
            options: &options,
        };
        let templates = fs::read_dir(binary::root().join("bench/peers")).unwrap();
        let mut count = 0;
        let is_template = |file: &PathBuf| file.extension().is_some_and(|end| end != "md");
        for file in templates.map(|entry| entry.unwrap().path()).filter(is_template) {
            let name = file.file_name().unwrap().to_str().unwrap().to_owned();
            let path = values.write(&name, &fs::read_to_string(&file).unwrap()).unwrap();
            let text = fs::read_to_string(path).unwrap();
            assert!(text.contains('2') && !text.contains("@PORT@"), "{name}");
            count += 1;
        }
        assert_eq!(count, 7);
    }
}

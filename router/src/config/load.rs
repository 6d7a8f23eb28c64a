//! Flags, environment and file are read, layered, and turned into a [`Config`], or into a list of what is wrong.

use super::{
    Command, Config, DEFAULT_ADMIN, DEFAULT_GRPC, Error, Problem,
    args::{Args, Sub},
    parse,
    settings::SETTINGS,
};
use clap::Parser;
use std::{
    ffi::OsString,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// A configuration file is a few lines; anything larger is another file.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Reads the process's arguments, environment and file.
///
/// # Errors
/// [`Error::Usage`] for the command line itself, [`Error::File`] for the file as a whole, and
/// [`Error::Invalid`] with everything that is wrong in the settings.
pub fn load_process() -> Result<Command, Error> {
    load(std::env::args_os(), &|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

/// Reads `args` (with the program's name first), variables through `var`, and the file that either names.
///
/// # Errors
/// As [`load_process`].
pub fn load(
    args: impl IntoIterator<Item = OsString>,
    var: &dyn Fn(&str) -> Option<String>,
) -> Result<Command, Error> {
    let args = Args::try_parse_from(args).map_err(Error::Usage)?;
    let mut layers: Vec<(String, String, String)> = Vec::new();
    if let Some(path) = args.config.clone().or_else(|| var("SWITCHBOARD_CONFIG").map(PathBuf::from)) {
        let file = read_file(&path)?;
        layers.extend(
            file.into_iter().map(|(key, value)| (format!("{key} in {}", path.display()), key, value)),
        );
    }
    layers.extend(variables(var));
    layers.extend(
        args.settings()
            .map(|(key, value)| (format!("--{}", key.replace('_', "-")), key.to_owned(), value.to_owned())),
    );

    let mut problems = Vec::new();
    let mut registry_url = None;
    // The registry's configuration is replaced below; until then it stands for the defaults.
    let mut config = Config::new(DEFAULT_GRPC, DEFAULT_ADMIN, switchboard_registry::Config::default());
    for (place, key, value) in layers {
        if key == "registry" {
            registry_url = Some((place, value));
            continue;
        }
        let result = match SETTINGS.iter().find(|setting| setting.key == key) {
            Some(setting) => (setting.set)(&mut config, &value),
            None => Err(unknown_key(&key)),
        };
        problems.extend(result.err().map(|reason| Problem { place, reason }));
    }
    match registry(registry_url.as_ref(), var) {
        Ok(registry) => config.registry = registry,
        Err(problem) => problems.push(problem),
    }
    config.hostname = hostname(var);
    config.log_filter = var("RUST_LOG");
    config.upstream_http2.max_concurrent_streams = config.streams_per_upstream_connection;
    if problems.is_empty() {
        problems = config.contradictions();
    }
    if !problems.is_empty() {
        return Err(Error::Invalid(problems));
    }
    Ok(match args.command {
        Some(Sub::Healthcheck) => Command::Healthcheck(config.admin),
        Some(Sub::Config) => Command::Print(Box::new(config)),
        None if args.print_config => Command::Print(Box::new(config)),
        None => Command::Run(Box::new(config)),
    })
}

/// The variables that are set: (variable, key, value). `MCP_ROUTER_PORT` is the older name for the port.
fn variables(var: &dyn Fn(&str) -> Option<String>) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    if let Some(port) = var("MCP_ROUTER_PORT") {
        let addr = match parse::port(&port) {
            Ok(port) => SocketAddr::new(DEFAULT_GRPC.ip(), port).to_string(),
            Err(_) => port,
        };
        found.push(("MCP_ROUTER_PORT".to_owned(), "grpc".to_owned(), addr));
    }
    for key in SETTINGS.iter().map(|setting| setting.key).chain(["registry"]) {
        let name = format!("SWITCHBOARD_{}", key.to_uppercase());
        if let Some(value) = var(&name) {
            found.push((name, key.to_owned(), value));
        }
    }
    found
}

/// Reads the registry's own variables (`CONSUL_*`); an URL that was given here stands for its address.
fn registry(
    url: Option<&(String, String)>,
    var: &dyn Fn(&str) -> Option<String>,
) -> Result<switchboard_registry::Config, Problem> {
    let vars = |name: &str| match (name, url) {
        // Both names of the address, so that no variable outranks what was said more closely.
        ("CONSUL_HTTP_ADDR" | "SWITCHBOARD_CONSUL_ADDR", Some((_, url))) => Some(url.clone()),
        _ => var(name),
    };
    switchboard_registry::Config::from_vars(vars).map_err(|error| Problem {
        place: url.map_or_else(|| "registry".to_owned(), |(place, _)| place.clone()),
        reason: error.to_string(),
    })
}

/// Reads the file: a flat table of settings, each value as text.
fn read_file(path: &Path) -> Result<Vec<(String, String)>, Error> {
    let fail = |reason: String| Error::File { path: path.to_owned(), reason };
    let size = fs::metadata(path).map_err(|error| fail(error.to_string()))?.len();
    if size > MAX_FILE_BYTES {
        return Err(fail(format!("is larger than {MAX_FILE_BYTES} bytes")));
    }
    let text = fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| fail(error.to_string()))?;
    let text = |value| match value {
        toml::Value::String(text) => text,
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Boolean(on) => on.to_string(),
        // No setting reads this; its problem is reported with all others.
        other => format!("a {}", other.type_str()),
    };
    Ok(table.into_iter().map(|(key, value)| (key, text(value))).collect())
}

/// Says that a key is unknown, and which one was perhaps meant.
fn unknown_key(key: &str) -> String {
    let near = SETTINGS
        .iter()
        .map(|setting| (strsim::damerau_levenshtein(setting.key, key), setting.key))
        .min()
        .filter(|(distance, _)| *distance <= 3);
    match near {
        Some((_, near)) => format!("there is no such setting; did you mean `{near}`?"),
        None => "there is no such setting; `switchboard-router config` lists all".to_owned(),
    }
}

/// The machine's name: from the kernel, else from `HOSTNAME`.
fn hostname(var: &dyn Fn(&str) -> Option<String>) -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/hostname").ok();
    kernel
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .or_else(|| var("HOSTNAME"))
        .unwrap_or_else(|| "localhost".to_owned())
}

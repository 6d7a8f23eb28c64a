//! What `certs init` says: how to use what it made, in commands that work as they stand.

use std::path::{Path, absolute};

use crate::certs::{AUDIENCE, Error, ISSUER};

/// The text, with the directory's absolute path, so that it holds wherever it is used.
pub(super) fn text(dir: &Path) -> Result<String, Error> {
    let dir = absolute(dir)
        .map_err(|source| Error::File { doing: "name", path: dir.to_owned(), source })?
        .display()
        .to_string();
    let (dir, text) = (quoted(&dir), dir);
    Ok(format!(
        "\
Certificates, tokens and a policy are in {dir}. Keys and tokens are secret: only their owner can read them.

# The router: TLS for clients, mTLS towards backends, a certificate or a token from everybody
export SWITCHBOARD_TLS_CERT={dir}/router.pem SWITCHBOARD_TLS_KEY={dir}/router.key
export SWITCHBOARD_TLS_CLIENT_CA={dir}/ca.pem SWITCHBOARD_UPSTREAM_TLS_CA={dir}/ca.pem
export SWITCHBOARD_AUTH=any SWITCHBOARD_AUTH_TOKENS={dir}/tokens.toml SWITCHBOARD_POLICY={dir}/policy.toml
export SWITCHBOARD_AUTH_JWT_KEYS={dir}/jwks.json SWITCHBOARD_AUTH_JWT_ISSUER={ISSUER} SWITCHBOARD_AUTH_JWT_AUDIENCE={AUDIENCE}
switchboard-router

# A backend, each with its own certificate; one more is made by: switchboard certs issue {dir} --service agent-poet
export SWITCHBOARD_TLS_CERT={dir}/agent-echo.pem SWITCHBOARD_TLS_KEY={dir}/agent-echo.key SWITCHBOARD_TLS_CLIENT_CA={dir}/ca.pem
export SWITCHBOARD_AUTH=any
echo-agent

# The workflow engine: a backend that calls others as itself, and knows callers at its own HTTP port
export SWITCHBOARD_TLS_CERT={dir}/worker-workflow.pem SWITCHBOARD_TLS_KEY={dir}/worker-workflow.key SWITCHBOARD_TLS_CLIENT_CA={dir}/ca.pem
export SWITCHBOARD_AUTH=any SWITCHBOARD_AUTH_TOKENS={dir}/tokens.toml SWITCHBOARD_POLICY={dir}/policy.toml
export SWITCHBOARD_AUTH_JWT_KEYS={dir}/jwks.json SWITCHBOARD_AUTH_JWT_ISSUER={ISSUER} SWITCHBOARD_AUTH_JWT_AUDIENCE={AUDIENCE}
export SWITCHBOARD_ROUTER=https://127.0.0.1:50051 SWITCHBOARD_CA={dir}/ca.pem
export SWITCHBOARD_CERT={dir}/worker-workflow.pem SWITCHBOARD_KEY={dir}/worker-workflow.key
workflow-worker

# A client, by certificate
export SWITCHBOARD_ENDPOINT=https://127.0.0.1:50051 SWITCHBOARD_CA={dir}/ca.pem
export SWITCHBOARD_CERT={dir}/client.pem SWITCHBOARD_KEY={dir}/client.key
switchboard call echo-agent hello

# A client, by token; or by a signed one, good for an hour
export SWITCHBOARD_ENDPOINT=https://127.0.0.1:50051 SWITCHBOARD_CA={dir}/ca.pem
export SWITCHBOARD_TOKEN_FILE={dir}/client.token
switchboard call echo-agent hello
SWITCHBOARD_TOKEN=\"$(switchboard certs token {dir} --sub me --role caller)\" switchboard call echo-agent hello

# A client in Python
read = lambda name: open({text:?} + \"/\" + name, \"rb\").read()
tls = grpc.ssl_channel_credentials(read(\"ca.pem\"), read(\"client.key\"), read(\"client.pem\"))
channel = grpc.secure_channel(\"127.0.0.1:50051\", tls)
by_token = grpc.access_token_call_credentials(read(\"client.token\").decode().strip())
channel = grpc.secure_channel(
    \"127.0.0.1:50051\", grpc.composite_channel_credentials(grpc.ssl_channel_credentials(read(\"ca.pem\")), by_token)
)
"
    ))
}

/// The path as a shell reads it.
pub(crate) fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%".contains(c);
    match path.chars().all(plain) {
        true => path.to_owned(),
        false => format!("'{}'", path.replace('\'', r"'\''")),
    }
}

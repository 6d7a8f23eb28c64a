//! Files of tokens and rules for a router, which a test may change.

use std::{fs, path::Path};
use switchboard_policy::Mode;
use switchboard_router::Config;
use tempfile::TempDir;

/// A directory with tokens and rules.
pub(crate) struct PolicyFiles {
    dir: TempDir,
}

/// What anna, olga, ada, bob and nobody are, with tokens of their names and `-token-0123456789`.
pub(crate) const TOKENS: &str = r#"
[[tokens]]
token = "anna-token-0123456789"
name = "anna"
roles = ["caller"]
[[tokens]]
token = "olga-token-0123456789"
name = "olga"
roles = ["operator"]
[[tokens]]
token = "ada-token-0123456789"
name = "ada"
roles = ["admin"]
[[tokens]]
token = "bob-token-0123456789"
name = "bob"
roles = ["backend"]
[[tokens]]
token = "planner-token-0123456789"
name = "planner-1"
roles = ["planner", "two words"]
"#;

impl PolicyFiles {
    /// The tokens of [`TOKENS`], and rules.
    pub(crate) fn new(policy: &str) -> Self {
        let files = PolicyFiles { dir: TempDir::new().expect("there is room") };
        files.set_tokens(TOKENS);
        files.set_policy(policy);
        files
    }

    pub(crate) fn set_tokens(&self, text: &str) {
        write(&self.dir.path().join("tokens.toml"), text);
    }

    pub(crate) fn set_policy(&self, text: &str) {
        write(&self.dir.path().join("policy.toml"), text);
    }

    /// Tokens are asked for, and rules are in force.
    pub(crate) fn any(&self, config: &mut Config) {
        config.auth = Mode::Any;
        config.auth_tokens = Some(self.dir.path().join("tokens.toml"));
        config.policy = Some(self.dir.path().join("policy.toml"));
    }

    /// Nobody is asked; the file's limits are in force.
    pub(crate) fn limits_only(&self, config: &mut Config) {
        config.policy = Some(self.dir.path().join("policy.toml"));
    }

    /// The path of a further file.
    pub(crate) fn file(&self, name: &str, text: &str) -> std::path::PathBuf {
        let path = self.dir.path().join(name);
        write(&path, text);
        path
    }
}

/// Secrets are readable by their owner only.
fn write(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, text).expect("the directory is there");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("the file is there");
}

/// The header of a token.
pub(crate) fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

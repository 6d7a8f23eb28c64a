//! A Consul in which nobody may do anything without a token, and the operator who makes policies and tokens.

use super::Consul;
use crate::{eventually, http};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};

/// Becomes the token of the operator. Known to everybody: such a Consul listens on loopback only and lives for a test.
const OPERATOR: &str = "11111111-1111-1111-1111-111111111111";
/// The operator's token and Consul's own entry are made some time after the leader is.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// A [`Consul`] with ACLs in default deny. Errors are those of Consul, or that it answered otherwise than with 200.
#[derive(Debug)]
pub struct LockedConsul {
    consul: Consul,
}

/// A token of a [`LockedConsul`].
#[derive(Debug, Clone)]
pub struct Token {
    /// Its public name, to delete it by.
    pub accessor: String,
    /// What is sent.
    pub secret: String,
}

impl LockedConsul {
    /// Starts a server with `extra` HCL on top, and waits until it knows its operator.
    ///
    /// # Errors
    /// As [`Consul::start_with`].
    pub async fn start(extra: &str) -> Result<Self> {
        let acl = format!(
            r#"acl {{ enabled = true default_policy = "deny" tokens {{ master = "{OPERATOR}" agent = "{OPERATOR}" }} }}"#
        );
        let locked = Self { consul: Consul::start_layered(&[&acl, extra]).await? };
        let ready = async || match locked.ask("GET", "health/service/consul", Value::Null).await {
            Ok(Value::Array(found)) if !found.is_empty() => Ok(()),
            other => Err(other),
        };
        eventually(READY_LIMIT, ready).await?;
        Ok(locked)
    }

    /// The server.
    pub fn consul(&self) -> &Consul {
        &self.consul
    }

    /// The address of the HTTP API.
    pub fn http_addr(&self) -> SocketAddr {
        self.consul.http_addr()
    }

    /// The operator's token, which may do everything.
    pub fn operator(&self) -> &'static str {
        OPERATOR
    }

    /// Sends a request to `/v1/<path>` as the operator. A body of `null` is none.
    ///
    /// # Errors
    /// When Consul does not answer with 200.
    pub async fn ask(&self, method: &str, path: &str, body: Value) -> Result<Value> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let token = [("X-Consul-Token", OPERATOR)];
        let (status, text) =
            http::request(self.http_addr(), method, &format!("/v1/{path}"), &token, &body).await?;
        ensure!(status == 200, "{method} {path} was answered with {status}: {text}");
        Ok(serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Makes a policy and gives its ID.
    ///
    /// # Errors
    /// When Consul refuses the rules.
    pub async fn policy(&self, name: &str, rules: &str) -> Result<String> {
        let made = self.ask("PUT", "acl/policy", json!({ "Name": name, "Rules": rules })).await?;
        Ok(made["ID"].as_str().unwrap_or_default().to_owned())
    }

    /// Gives a policy other rules.
    ///
    /// # Errors
    /// When Consul refuses the rules.
    pub async fn set_rules(&self, id: &str, name: &str, rules: &str) -> Result<()> {
        let body = json!({ "ID": id, "Name": name, "Rules": rules });
        self.ask("PUT", &format!("acl/policy/{id}"), body).await.map(drop)
    }

    /// Makes a token of a policy.
    ///
    /// # Errors
    /// When there is no such policy.
    pub async fn token_of(&self, policy: &str) -> Result<Token> {
        let made = self.ask("PUT", "acl/token", json!({ "Policies": [{ "ID": policy }] })).await?;
        let text = |key: &str| made[key].as_str().unwrap_or_default().to_owned();
        Ok(Token { accessor: text("AccessorID"), secret: text("SecretID") })
    }

    /// Makes a policy with these rules and a token of it; gives the token's secret.
    ///
    /// # Errors
    /// As [`LockedConsul::policy`].
    pub async fn token(&self, name: &str, rules: &str) -> Result<String> {
        let policy = self.policy(name, rules).await?;
        Ok(self.token_of(&policy).await?.secret)
    }

    /// Deletes a token.
    ///
    /// # Errors
    /// When there is no such token.
    pub async fn delete_token(&self, token: &Token) -> Result<()> {
        self.ask("DELETE", &format!("acl/token/{}", token.accessor), Value::Null).await.map(drop)
    }
}

# Locks for Consul 1.12 and later, on top of server.hcl: -config-file server.hcl -config-file secure.hcl. Reasons: README.md.

# Plaintext for this machine only; everybody else speaks TLS with a certificate of ca_file.
ports {
  https = 8501
}
addresses {
  http  = "127.0.0.1"
  https = "0.0.0.0"
}

tls {
  defaults {
    ca_file         = "/consul/tls/ca.pem"
    cert_file       = "/consul/tls/consul.pem"
    key_file        = "/consul/tls/consul.key"
    verify_incoming = true
    verify_outgoing = true
  }
}
# Ports ask for client certificates but do not demand one: checks show none (see README.md for when to change it).
enable_agent_tls_for_checks = false

acl {
  enabled                  = true
  default_policy           = "deny"
  down_policy              = "extend-cache"
  enable_token_persistence = true
}

# Certificates for the mesh (tls_source = "connect") and intentions.
connect {
  enabled = true
}

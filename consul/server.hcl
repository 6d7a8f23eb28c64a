# One Consul server for Switchboard, Consul 1.12 and later (1.8: server-1.8.hcl). Reasons: README.md.

datacenter       = "dc1"
data_dir         = "/consul/data"
server           = true
bootstrap_expect = 1
client_addr      = "0.0.0.0"
ui_config {
  enabled = true
}

ports {
  http = 8500
  dns  = 8600
  # No Envoy proxies here: nothing reads the xDS port.
  grpc     = -1
  grpc_tls = -1
}

dns_config {
  only_passing      = true
  service_ttl       = { "*" = "1s" }
  a_record_limit    = 0
  udp_answer_limit  = 64
  enable_truncate   = true
}

limits {
  http_max_conns_per_client = 1000
}

performance {
  raft_multiplier = 1
}

leave_on_terminate         = false
enable_local_script_checks = false
disable_update_check       = true

telemetry {
  prometheus_retention_time = "60s"
  disable_hostname          = true
}

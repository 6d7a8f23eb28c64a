# One Consul server for Switchboard, Consul 1.8 (1.9 and later: server.hcl). Reasons: README.md.
# The tests run this file; addresses, ports and the data directory are given on the command line there.

datacenter       = "dc1"
data_dir         = "/consul/data"
server           = true
bootstrap_expect = 1
client_addr      = "0.0.0.0"
ui               = true

ports {
  http = 8500
  dns  = 8600
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

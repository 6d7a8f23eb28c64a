# HAProxy, which asks Consul's DNS for routers. DNS carries no token: this is for the token `default` of the agent that is
# asked (from 1.17 on: `dns`). Whoever sends no token has these rights too. Routers that look services up by DNS
# (consul_dns) need service_prefix "" in the place of service "router".
service "router" { policy = "read" }
node_prefix "" { policy = "read" }

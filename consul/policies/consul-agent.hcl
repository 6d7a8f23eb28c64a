# The Consul agent itself: its node's entry, and its look at what is registered. Put its node name in the place of consul-1.
node "consul-1" { policy = "write" }
service_prefix "" { policy = "read" }

# A router: reads every service with its instances, and registers itself.
# The first two lines are also how it tells "there is none" from "I may not see it".
service_prefix "" { policy = "read" }
node_prefix "" { policy = "read" }
service "router" { policy = "write" }

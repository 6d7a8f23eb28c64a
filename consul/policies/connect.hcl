# Who decides which service may connect to which (intentions). Members need no more than their own policy.
service_prefix "" { policy = "read" intentions = "write" }

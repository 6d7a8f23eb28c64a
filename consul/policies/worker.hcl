# A worker: registers and verifies itself under its own name, and reads nothing else. With Connect it also gets its
# certificate by this, and may ask who may connect to it. Put the name of its service in the place of worker-itinerary;
# worker-workflow is the workflow engine, which needs no more: it finds agents, tools and workers through the router.
service "worker-itinerary" { policy = "write" }

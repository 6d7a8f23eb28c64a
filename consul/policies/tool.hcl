# A tool: registers and verifies itself under its own name, and reads nothing else. With Connect it also gets its
# certificate by this, and may ask who may connect to it. Put the name of its service in the place of tool-weather.
service "tool-weather" { policy = "write" }

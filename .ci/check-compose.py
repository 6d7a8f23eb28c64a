"""Checks docker-compose.yml, and docker-compose.secure.yml over it, without a Docker engine:
check-compose.py <docker-compose binary>

`config` finds what is no valid file. It does not find what makes `--scale` fail, so that is looked at here: a service
that must scale has no container name, host name, published port or fixed address. Of the secure form it is looked at
that nobody is left in clear. That the services' own binaries take what the files tell them, the end-to-end suite shows.
"""

import json
import subprocess
import sys

SERVICES = {"consul", "haproxy", "router", "echo-agent", "weather-tool", "itinerary-worker", "workflow-worker"}
OURS = sorted(SERVICES - {"consul", "haproxy"})
# One process at a time may use the engine's data.
ENGINE = "workflow-worker"
SCALED = [name for name in OURS if name != ENGINE]
ROUTER_GRACE_SECONDS = 130
CLEAR, SECURE = "docker-compose.yml", "docker-compose.secure.yml"


def read(compose, *files):
    """The services of these files, each over the one before it."""
    argv = [compose, *(word for file in files for word in ("-f", file)), "config", "--format", "json"]
    return json.loads(subprocess.check_output(argv))["services"]


def main(compose):
    clear, secure = read(compose, CLEAR), read(compose, CLEAR, SECURE)
    problems = [f"{CLEAR}: {problem}" for problem in general(clear)]
    problems += [f"{SECURE}: {problem}" for problem in [*general(secure), *in_clear(secure)]]
    for problem in problems:
        print(problem)
    if problems:
        return 1
    print(f"{CLEAR}, {SECURE}: {len(clear)} services; {', '.join(SCALED)} can be scaled")
    return 0


def in_clear(services):
    """Who of the secure form would speak or listen in clear, or has a key too many."""
    for name in OURS:
        environment = services[name]["environment"]
        for key in ("SWITCHBOARD_TLS_CERT", "SWITCHBOARD_TLS_KEY", "SWITCHBOARD_TLS_CLIENT_CA", "CONSUL_CACERT", "SWITCHBOARD_AUTH"):
            if not environment.get(key):
                yield f"{name}: {key} is not set"
        for key, value in environment.items():
            if "http://" in (value or ""):
                yield f"{name}: {key} is {value}"
    for name, service in services.items():
        files = [volume["source"] for volume in service.get("volumes", []) if volume["type"] == "bind"]
        keys = [file for file in files if not file.endswith((".pem", ".hcl", ".cfg"))]
        keys = [key for key in keys if not key.endswith(("tokens.toml", "jwks.json", "policy.toml"))]
        if len(keys) > 1 or any(not key.endswith(".key") or key.endswith("/ca.key") for key in keys):
            yield f"{name}: has more than its own key: {', '.join(keys)}"
    proxy = services["haproxy"]
    if any(proxy["environment"].get(key) != "on" for key in ("SWITCHBOARD_ROUTER_TLS", "SWITCHBOARD_SEND_PROXY")):
        yield "haproxy: does not speak to routers with TLS and the PROXY header"
    address = proxy["networks"]["mesh"].get("ipv4_address")
    trusted = services["router"]["environment"].get("SWITCHBOARD_PROXY_PROTOCOL")
    if not address or trusted != address:
        yield f"router: believes {trusted} what a client's address is, HAProxy has {address}"
    published = [port["target"] for port in services["consul"].get("ports", [])]
    if published != [8501]:
        yield f"consul: publishes {published}, not its https port alone"


def general(services):
    problems = [f"no service {name}" for name in sorted(SERVICES - services.keys())]
    for name in SCALED:
        service = services.get(name, {})
        problems += [f"{name}: {key} is fixed" for key in ("container_name", "hostname") if service.get(key)]
        problems += [f"{name}: publishes a port" for port in service.get("ports", []) if port.get("published")]
        for network, options in (service.get("networks") or {}).items():
            if (options or {}).get("ipv4_address"):
                problems.append(f"{name}: fixed address in network {network}")
    problems += [f"{ENGINE}: {problem}" for problem in of_the_engine(services.get(ENGINE, {}))]
    for name, service in services.items():
        for port in service.get("ports", []):
            if port.get("host_ip") != "127.0.0.1":
                problems.append(f"{name}: port {port.get('published')} is open to other hosts")
    grace = services.get("router", {}).get("stop_grace_period")
    if grace not in ("2m10s", f"{ROUTER_GRACE_SECONDS}s"):
        problems.append(f"router: stop_grace_period is {grace}, its drain needs {ROUTER_GRACE_SECONDS} s")
    return problems


def of_the_engine(engine):
    """What would lose the engine's data, or let two processes have it."""
    if not engine.get("container_name"):
        yield "has no container name, so that --scale would start a second one over the same data"
    words = engine.get("command") or []
    data = words[words.index("--data") + 1] if "--data" in words[:-1] else None
    kept = [volume["target"] for volume in engine.get("volumes", []) if volume["type"] == "volume"]
    if not data or not any(data.startswith(f"{target}/") for target in kept):
        yield f"keeps its data in {data}, which is within no volume ({', '.join(kept) or 'there is none'})"
    if not engine.get("healthcheck", {}).get("test"):
        yield "has no check of its health"
    published = [port["target"] for port in engine.get("ports", []) if port.get("published")]
    if published != [8080]:
        yield f"publishes {published}, not its HTTP port alone"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

"""Checks docker-compose.yml without a Docker engine: check-compose.py <docker-compose binary>

`config` finds what is no valid file. It does not find what makes `--scale` fail, so that is looked at here: a service
that must scale has no container name, host name, published port or fixed address.
"""

import json
import subprocess
import sys

SERVICES = {"consul", "haproxy", "router", "echo-agent", "weather-tool", "itinerary-worker"}
SCALED = sorted(SERVICES - {"consul", "haproxy"})
ROUTER_GRACE_SECONDS = 130


def main(compose):
    model = json.loads(subprocess.check_output([compose, "config", "--format", "json"]))
    services = model["services"]
    problems = [f"no service {name}" for name in sorted(SERVICES - services.keys())]
    for name in SCALED:
        service = services.get(name, {})
        problems += [f"{name}: {key} is fixed" for key in ("container_name", "hostname") if service.get(key)]
        problems += [f"{name}: publishes a port" for port in service.get("ports", []) if port.get("published")]
        for network, options in (service.get("networks") or {}).items():
            if (options or {}).get("ipv4_address"):
                problems.append(f"{name}: fixed address in network {network}")
    for name, service in services.items():
        for port in service.get("ports", []):
            if port.get("host_ip") != "127.0.0.1":
                problems.append(f"{name}: port {port.get('published')} is open to other hosts")
    grace = services.get("router", {}).get("stop_grace_period")
    if grace not in ("2m10s", f"{ROUTER_GRACE_SECONDS}s"):
        problems.append(f"router: stop_grace_period is {grace}, its drain needs {ROUTER_GRACE_SECONDS} s")
    for problem in problems:
        print(f"docker-compose.yml: {problem}")
    if problems:
        return 1
    print(f"docker-compose.yml: {len(services)} services; {', '.join(SCALED)} can be scaled")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

"""Prints every service of the Consul at CONSUL_HTTP_ADDR with its instances and their health."""

import json
import os
import sys
import urllib.error
import urllib.request

BASE = os.environ.get("CONSUL_HTTP_ADDR", "http://127.0.0.1:8500")
BASE = BASE if "://" in BASE else f"http://{BASE}"


def read(path):
    token = os.environ.get("CONSUL_HTTP_TOKEN")
    request = urllib.request.Request(BASE + path, headers={"X-Consul-Token": token} if token else {})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


def state_of(entry):
    states = {check["Status"] for check in entry["Checks"]}
    return next((state for state in ("critical", "warning") if state in states), "passing")


def main():
    try:
        services = sorted(read("/v1/catalog/services"))
        for service in services:
            print(service)
            for entry in read(f"/v1/health/service/{service}"):
                instance = entry["Service"]
                address = instance["Address"] or entry["Node"]["Address"]
                print(f"  {state_of(entry):9} {address}:{instance['Port']}  {instance['ID']}")
    except (urllib.error.URLError, OSError) as error:
        sys.exit(f"consul-check: {BASE}: {error}\nIs Consul running? `make up` starts it.")
    if not services:
        print("no services: an empty registry, or a token is missing (CONSUL_HTTP_TOKEN)")


if __name__ == "__main__":
    main()

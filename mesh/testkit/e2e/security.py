"""The two forms of the suite: in clear, and with certificates, tokens and Consul's ACLs on every hop.

`SWITCHBOARD_E2E=secure` chooses the second. Then clients prove themselves by certificate and signed token (mode `both`),
routers and backends by their certificates; HAProxy passes TLS and tells the client's address; and Consul speaks https
only and denies by default. Both forms have the same methods, so that a test does not know which one it runs in.
"""

import functools
import json
import os
import pathlib
import ssl
import subprocess
import tempfile
import urllib.error
import uuid

import grpc

from eventually import eventually
from stubs import ROOT

SECURE = os.environ.get("SWITCHBOARD_E2E", "clear") == "secure"
BINARIES = pathlib.Path(os.environ.get("SWITCHBOARD_BIN_DIR", ROOT / "target/debug")).absolute()
# Whom a backend's binary registers as.
SERVICES = {
    "echo-agent": "agent-echo",
    "weather-tool": "tool-weather",
    "itinerary-worker": "worker-itinerary",
    "workflow-worker": "worker-workflow",
    "chaos-bytes": "tool-bytes",
}
# Who has a token at Consul, and the policy of that name.
MEMBERS = ("consul-agent", "haproxy-dns", "router", *SERVICES.values())


class Clear:
    """Nothing is encrypted and nobody is asked."""

    scheme = "http"
    metadata = ()
    http_context = None
    consul_context = None
    consul_headers = {}

    def channel(self, target, options=(), **_):
        return grpc.insecure_channel(target, options=list(options))

    def listen(self, server, service, **_):
        return server.add_insecure_port("127.0.0.1:0")

    def dial(self, stream):
        """The client's end of a connection that a test makes by hand."""
        return stream

    def accept(self, stream, service):
        """The server's end of a connection that a test accepts by hand."""
        return stream

    def load(self):
        """What chaos-load is told."""
        return {}

    router = load

    backend = consul_client = lambda self, kind: {}
    haproxy = load

    def consul(self, folder, http):
        """Consul's ports and further arguments."""
        return f"http={http}", []

    def consul_started(self, consul):
        """Called when a Consul has a leader."""


class Secure:
    """Everything is encrypted, and everybody proves who it is at every hop."""

    scheme = "https"

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="switchboard-certs-")
        self.dir = pathlib.Path(self._folder.name) / "certs"
        self.switchboard("init", self.dir)
        # Who makes the calls of the tests: it may register as well.
        self.token = self.jwt("e2e", "admin")
        self.tokens = {name: str(uuid.uuid4()) for name in ("management", *MEMBERS)}
        for name, token in self.tokens.items():
            self.write(f"consul-{name}.token", token)
        self.write("load.jwt", self.jwt("load", "caller"))
        with (self.dir / "policy.toml").open("a") as policy:
            policy.write('[[rules]]\nname = "no agents for mallory"\ndeny = ["mallory"]\nids = ["*-agent"]\n')
        # Workers call others through the front door as any client does, which takes a token too.
        for service in SERVICES.values():
            if service.startswith("worker-"):
                self.write(f"{service}.jwt", self.jwt(service, "caller", ttl="24h"))

    def switchboard(self, *words):
        """Runs `switchboard certs`."""
        argv = [BINARIES / "switchboard", "certs", *words]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()

    def stranger(self, command, *words):
        """Runs a command of `switchboard certs` of somebody whom nobody here trusts."""
        stranger = self.dir.parent / "stranger"
        if not stranger.exists():
            self.switchboard("init", stranger)
        return self.switchboard(command, stranger, *words)

    def jwt(self, sub, *roles, ttl="6h", audience="switchboard"):
        flags = [word for role in roles for word in ("--role", role)]
        return self.switchboard("token", self.dir, "--sub", sub, "--ttl", ttl, "--audience", audience, *flags)

    def write(self, name, text):
        with open(os.open(self.dir / name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)

    def read(self, name):
        return (self.dir / name).read_bytes()

    @functools.cache  # noqa: B019 there is one of these
    def of(self, service):
        """The certificate and key of a service, made when they are first asked for."""
        if not (self.dir / f"{service}.pem").exists():
            self.switchboard("issue", self.dir, "--service", service)
        return self.dir / f"{service}.pem", self.dir / f"{service}.key"

    # The tests' clients.

    @property
    def metadata(self):
        return [("authorization", f"Bearer {self.token}")]

    @property
    def http_context(self):
        """TLS of whoever proves by token alone who he is."""
        return ssl.create_default_context(cafile=self.dir / "ca.pem")

    def channel(self, target, options=(), identity="admin", token=True, ca="ca.pem"):
        """A channel with a certificate and a token; `None` leaves either out."""
        pair = (self.read(f"{identity}.key"), self.read(f"{identity}.pem")) if identity else (None, None)
        credentials = grpc.ssl_channel_credentials(self.read(ca), *pair)
        if token:
            token = self.token if token is True else token
            credentials = grpc.composite_channel_credentials(credentials, grpc.access_token_call_credentials(token))
        return grpc.secure_channel(target, credentials, options=list(options))

    def dial(self, stream):
        context = ssl.create_default_context(cafile=self.dir / "ca.pem")
        context.load_cert_chain(self.dir / "admin.pem", self.dir / "admin.key")
        context.set_alpn_protocols(["h2"])
        return context.wrap_socket(stream, server_hostname="localhost")

    def load(self):
        files = {"ca": "ca.pem", "cert": "client.pem", "key": "client.key", "token_file": "load.jwt"}
        return {option: self.dir / name for option, name in files.items()}

    # The tests' servers.

    def listen(self, server, service, *, checked=False):
        """Listens with the certificate of `service`, for those who show one too; a server that Consul checks cannot ask that."""
        cert, key = self.of(service)

        def now():
            """What the files say now: they are replaced during the life of a server."""
            pairs = [(key.read_bytes(), cert.read_bytes())]
            return grpc.ssl_server_certificate_configuration(pairs, self.read("ca.pem"))

        credentials = grpc.dynamic_ssl_server_credentials(now(), now, require_client_authentication=not checked)
        return server.add_secure_port("127.0.0.1:0", credentials)

    def accept(self, stream, service):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.of(service))
        context.load_verify_locations(self.dir / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        context.set_alpn_protocols(["h2"])
        return context.wrap_socket(stream, server_side=True)

    # The processes' settings.

    def identity(self, service):
        cert, key = self.of(service)
        ca = str(self.dir / "ca.pem")
        return {"SWITCHBOARD_TLS_CERT": str(cert), "SWITCHBOARD_TLS_KEY": str(key), "SWITCHBOARD_TLS_CLIENT_CA": ca}

    def router(self):
        return {
            **self.identity("router"),
            "SWITCHBOARD_UPSTREAM_TLS_CA": str(self.dir / "ca.pem"),
            "SWITCHBOARD_PROXY_PROTOCOL": "127.0.0.1",
            "SWITCHBOARD_AUTH": "both",
            **self.callers(),
            **self.consul_client("router"),
        }

    def callers(self):
        """By which tokens callers are known, and what they may do."""
        return {
            "SWITCHBOARD_AUTH_TOKENS": str(self.dir / "tokens.toml"),
            "SWITCHBOARD_AUTH_JWT_KEYS": str(self.dir / "jwks.json"),
            "SWITCHBOARD_AUTH_JWT_ISSUER": "switchboard",
            "SWITCHBOARD_AUTH_JWT_AUDIENCE": "switchboard",
            "SWITCHBOARD_AUTH_JWT_LEEWAY": "1s",
            "SWITCHBOARD_POLICY": str(self.dir / "policy.toml"),
        }

    def backend(self, binary):
        service = SERVICES[binary]
        cert, key = self.of(service)
        settings = {**self.identity(service), "SWITCHBOARD_AUTH": "any", **self.consul_client(service)}
        if service.startswith("worker-"):
            settings |= {
                "SWITCHBOARD_CA": str(self.dir / "ca.pem"),
                "SWITCHBOARD_CERT": str(cert),
                "SWITCHBOARD_KEY": str(key),
                "SWITCHBOARD_TOKEN_FILE": str(self.dir / f"{service}.jwt"),
            }
        if binary == "workflow-worker":
            # It has a door of its own, for HTTP.
            settings |= self.callers()
        return settings

    def haproxy(self):
        return {"SWITCHBOARD_ROUTER_TLS": "on", "SWITCHBOARD_SEND_PROXY": "on"}

    # Consul.

    def consul_client(self, service):
        cert, key = self.of(service)
        return {
            "CONSUL_CACERT": str(self.dir / "ca.pem"),
            "CONSUL_CLIENT_CERT": str(cert),
            "CONSUL_CLIENT_KEY": str(key),
            "CONSUL_HTTP_TOKEN_FILE": str(self.dir / f"consul-{service}.token"),
        }

    def consul(self, folder, http):
        """The shipped locks with this suite's files; no http at all. Secrets are in a file, for everybody sees arguments."""
        tokens = {"master": "management", "agent": "consul-agent", "default": "haproxy-dns"}
        settings = {
            "ca_file": str(self.dir / "ca.pem"),
            "cert_file": str(self.dir / "consul.pem"),
            "key_file": str(self.dir / "consul.key"),
            "acl": {"tokens": {place: self.tokens[name] for place, name in tokens.items()}},
        }
        self.write("consul-secure.json", json.dumps(settings))
        locks = ["-config-file", ROOT / "consul/secure-1.8.hcl", "-config-file", self.dir / "consul-secure.json"]
        return f"http=-1 https={http}", locks

    @property
    def consul_context(self):
        context = ssl.create_default_context(cafile=self.dir / "ca.pem")
        context.load_cert_chain(self.dir / "admin.pem", self.dir / "admin.key")
        return context

    @property
    def consul_headers(self):
        return {"X-Consul-Token": self.tokens["management"]}

    def consul_started(self, consul):
        """Gives a Consul that has none the shipped policies, and everybody a token with the right one."""
        # The management token comes some time after the leader.
        eventually(30, lambda: consul.request("GET", "/v1/acl/token/self"))
        for name in MEMBERS:
            for path, body in (
                ("policy", {"Name": name, "Rules": policy_of(name, consul)}),
                ("token", {"SecretID": self.tokens[name], "Description": name, "Policies": [{"Name": name}]}),
            ):
                try:
                    consul.request("PUT", f"/v1/acl/{path}", body)
                except urllib.error.HTTPError as error:
                    said = error.read().decode()
                    # It kept its data.
                    if not any(words in said for words in ("already exists", "already in use")):
                        raise RuntimeError(f"Consul refuses the {path} {name}: {said}") from error


def policy_of(name, consul):
    """The rules of a shipped policy, with the names that belong in their places."""
    kind = name.split("-")[0]
    file = name if name in ("router", "haproxy-dns", "consul-agent") else kind
    rules = (ROOT / f"consul/policies/{file}.hcl").read_text()
    if name == "router":
        # For RegisterAgent and RegisterTool, which the router writes into Consul for others.
        return rules + "".join(f'service_prefix "{kind}-" {{ policy = "write" }}\n' for kind in ("agent", "tool", "worker"))
    if name == "haproxy-dns":
        # Routers look services up by DNS as well.
        return rules.replace('service "router"', 'service_prefix ""')
    if name == "consul-agent":
        return rules.replace('"consul-1"', f'"{consul.name}"')
    example = {"agent": "agent-echo", "tool": "tool-weather", "worker": "worker-itinerary"}[kind]
    return rules.replace(f'"{example}"', f'"{name}"')


security = Secure() if SECURE else Clear()

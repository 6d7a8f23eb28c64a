"""Who does not prove who they are gets in nowhere, and is told why: clients, backends, and members at Consul."""

import base64
import hashlib
import hmac
import json
import pathlib
import ssl
import urllib.error
import urllib.request

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

import wire
from conftest import BYTES_SERVICE
from processes import eventually
from security import security
from status import error_info, refused
from stubs import pb, rpc

pytestmark = pytest.mark.secure("in the clear form nobody is asked who they are")

UNAUTHENTICATED, UNAVAILABLE = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNAVAILABLE
DENIED = grpc.StatusCode.PERMISSION_DENIED


def call(channel, **options):
    options.setdefault("timeout", 5)
    return rpc.AgentServiceStub(channel).ExecuteTask(pb.TaskRequest(agent_id="echo-agent", input="x"), **options).output


def part(value):
    return base64.urlsafe_b64encode(value if isinstance(value, bytes) else json.dumps(value).encode()).rstrip(b"=").decode()


def forged(header, key=None):
    """The tests' own token under another header, signed with `key` or not at all."""
    unsigned = f"{part(header)}.{security.token.split('.')[1]}"
    return f"{unsigned}.{part(hmac.new(key, unsigned.encode(), hashlib.sha256).digest()) if key else ''}"


def tampered():
    """A signed token with more rights written into it."""
    header, _, signature = security.jwt("me", "caller").split(".")
    return f"{header}.{security.token.split('.')[1]}.{signature}"


TOKENS = {
    "of nobody": lambda: "0" * 64,
    "no token": lambda: "a b",
    "unsigned": lambda: forged({"alg": "none", "typ": "JWT"}),
    "signed with the public key as a secret": lambda: forged({"alg": "HS256"}, security.read("jwks.json")),
    "tampered with": tampered,
    "for somebody else": lambda: security.jwt("me", "caller", audience="elsewhere"),
    "of another authority": lambda: security.stranger("token", "--sub", "me", "--role", "admin"),
    "longer than any": lambda: security.token + "A" * 10_000,
}


def test_certificate_and_token_together_open_every_router(mesh, connect):
    for _ in mesh.routers:
        assert call(connect()) == "Echo: x"
    assert call(connect(identity="client", token=security.jwt("me", "caller"))) == "Echo: x"
    assert call(connect(token=security.read("client.token").decode().strip())) == "Echo: x"


@pytest.mark.parametrize(
    ("credentials", "words"),
    [({"identity": None, "token": None}, "certificate"), ({"identity": None}, "certificate"), ({"token": None}, "token")],
    ids=["neither", "token-only", "certificate-only"],
)
def test_what_lacks_is_told(connect, credentials, words):
    with refused(UNAUTHENTICATED, words, reason="CREDENTIALS_MISSING"):
        call(connect(**credentials))


@pytest.mark.parametrize("token", TOKENS)
def test_a_token_that_is_not_good_is_refused(connect, token):
    with refused(UNAUTHENTICATED, reason="CREDENTIALS_INVALID"):
        call(connect(token=TOKENS[token]()))


def test_a_token_ends_during_the_life_of_its_connection(connect):
    channel = connect(token=security.jwt("me", "caller", ttl="1s"))
    assert call(channel) == "Echo: x"

    def expired():
        try:
            call(channel)
        except grpc.RpcError as error:
            return error.code() == UNAUTHENTICATED and error_info(error).reason == "CREDENTIALS_EXPIRED"
        return False

    eventually(10, expired)


def test_a_certificate_of_another_authority_ends_the_handshake(connect):
    for credentials in ({"identity": "../stranger/client"}, {"identity": "../stranger/router"}):
        security.stranger("renew")
        with pytest.raises(grpc.RpcError) as caught:
            call(connect(**credentials))
        assert caught.value.code() == UNAVAILABLE, caught.value


def test_a_client_does_not_believe_a_router_of_another_authority(connect):
    security.stranger("renew")
    with pytest.raises(grpc.RpcError) as caught:
        call(connect(ca="../stranger/ca.pem"))
    assert caught.value.code() == UNAVAILABLE and "CERTIFICATE_VERIFY_FAILED" in caught.value.details()


def test_nobody_speaks_in_clear(mesh):
    ports = [mesh.haproxy.grpc, mesh.routers[0].grpc, mesh.echoes[0].port]
    for port in ports:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            with pytest.raises(grpc.RpcError) as caught:
                call(channel, timeout=2)
            # grpcio goes on trying to connect, or says that it cannot.
            assert caught.value.code() in (UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED), port
    with pytest.raises(OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{mesh.consul.http}/v1/agent/self", timeout=5)
    # Nor by https with somebody who shows no certificate.
    stranger = ssl.create_default_context(cafile=security.dir / "ca.pem")
    with pytest.raises(OSError):
        urllib.request.urlopen(f"{mesh.consul.url}/v1/status/leader", timeout=5, context=stranger)


def test_health_needs_no_credentials(mesh, connect):
    for target in (mesh.target, f"127.0.0.1:{mesh.echoes[0].port}"):
        stub = health_pb2_grpc.HealthStub(connect(target, identity=None, token=None))
        assert stub.Check(health_pb2.HealthCheckRequest(), timeout=5).status == health_pb2.HealthCheckResponse.SERVING


def test_a_caller_may_call_and_not_register(connect):
    agents = rpc.AgentServiceStub(connect(identity="client", token=security.jwt("me", "caller")))
    assert agents.ListAgents(pb.ListAgentsRequest(), timeout=5).agents
    with refused(DENIED):
        agents.RegisterAgent(pb.AgentInfo(agent_id="echo-agent", endpoint="127.0.0.1:1"), timeout=5)


def test_a_service_registers_itself_and_nobody_else(connect):
    token = security.jwt("poet", "backend-of-its-own")
    security.of("agent-poet")
    agents = rpc.AgentServiceStub(connect(identity="agent-poet", token=token))
    with refused(DENIED):
        agents.RegisterAgent(pb.AgentInfo(agent_id="echo-agent", endpoint="127.0.0.1:1"), timeout=5)


def test_backends_see_who_the_router_verified_and_nothing_of_what_the_client_claims(mesh, bytes_service):
    claims = [
        ("x-switchboard-principal", "root"),
        ("x-switchboard-roles", "admin,god"),
        ("x-switchboard-source", "8.8.8.8"),
        ("x-e2e-own", "kept"),
    ]
    answer = wire.call(mesh.target, f"/{BYTES_SERVICE}/Metadata", b"", claims, source=("127.0.0.9", 0))
    assert answer.trailers["grpc-status"] == "0", answer
    seen = bytes_service.metadata_seen
    ours = {key: value for key, value in seen if key.startswith("x-switchboard-")}
    # The address is the client's, through HAProxy, by the PROXY header.
    assert ours == {"x-switchboard-principal": "e2e", "x-switchboard-roles": "admin", "x-switchboard-source": "127.0.0.9"}
    assert len([key for key, _ in seen if key.startswith("x-switchboard-")]) == 3, seen
    assert ("x-e2e-own", "kept") in seen
    assert "authorization" not in dict(seen), "the token is the router's alone"


def test_a_backend_believes_the_routers_word_from_the_router_alone(mesh, connect):
    backend = f"127.0.0.1:{mesh.echoes[0].port}"
    spoofed = [("x-switchboard-principal", "root"), ("x-switchboard-roles", "admin")]
    with pytest.raises(grpc.RpcError) as caught:
        call(connect(backend, identity=None, token=None), metadata=spoofed)
    assert caught.value.code() == UNAUTHENTICATED, caught.value


def consul(mesh, method, path, token, body=None):
    headers = {"X-Consul-Token": token} if token else {}
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(mesh.consul.url + path, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=5, context=security.consul_context) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_consul_shows_nothing_without_a_token_and_lets_nobody_be_another(mesh):
    assert consul(mesh, "GET", "/v1/agent/self", None)[0] == 403
    body = {"ID": "evil", "Name": "agent-echo", "Address": "127.0.0.1", "Port": 1}
    path = "/v1/agent/service/register"
    for kind in (None, "haproxy-dns", "tool-weather"):
        assert consul(mesh, "PUT", path, kind and security.tokens[kind], body)[0] == 403, kind
    for service in ("router", "agent-echo"):
        body = {"ID": "evil", "Name": service, "Address": "127.0.0.1", "Port": 1}
        assert consul(mesh, "PUT", path, security.tokens["worker-itinerary"], body)[0] == 403, service


def test_secrets_are_nowhere_to_be_read(mesh):
    secrets = [security.token, security.read("client.token").decode().strip(), *security.tokens.values()]
    secrets += [security.read(f"worker-{name}.jwt").decode() for name in ("itinerary", "workflow")]
    secrets += ["".join(security.read(f"{name}.key").decode().splitlines()[1:-1]) for name in ("router", "jwt", "agent-echo")]
    places = {"config of router 1": mesh.routers[0].get("/config"), "its endpoints": mesh.routers[0].get("/endpoints")}
    for process in mesh.processes:
        places[f"log of {process.name}"] = process.log.read_text(errors="replace")
        places[f"arguments of {process.name}"] = pathlib.Path(f"/proc/{process.child.pid}/cmdline").read_text()
    for place, text in places.items():
        found = [secret[:8] for secret in secrets if secret in text or secret[:64] in text.replace("\n", "")]
        assert not found, f"{place} has a secret that begins with {found}"

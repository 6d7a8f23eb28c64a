"""The client's stubs, made from proto/ when the suite starts: what the contract says now, not a copy of it."""

import importlib
import pathlib
import sys
import tempfile

from grpc_tools import protoc

ROOT = pathlib.Path(__file__).resolve().parents[3]

_folder = tempfile.TemporaryDirectory(prefix="switchboard-stubs-")
_proto = ROOT / "proto"
# Exactly one file: it is a plain proto, so a client needs no other.
_arguments = ["protoc", f"-I{_proto}", f"--python_out={_folder.name}", f"--grpc_python_out={_folder.name}"]
if protoc.main([*_arguments, "agent_platform.proto"]) != 0:
    raise RuntimeError("protoc refused proto/agent_platform.proto")
sys.path.insert(0, _folder.name)

pb = importlib.import_module("agent_platform_pb2")
rpc = importlib.import_module("agent_platform_pb2_grpc")

"""The client's stubs, made from proto/ when the suite starts: what the contract says now, not a copy of it."""

import importlib
import pathlib
import sys
import tempfile

import grpc_tools
from grpc_tools import protoc

ROOT = pathlib.Path(__file__).resolve().parents[3]

_folder = tempfile.TemporaryDirectory(prefix="switchboard-stubs-")
_proto = ROOT / "proto"
# Timestamps and the like come with the compiler.
_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
_arguments = ["protoc", f"-I{_proto}", f"-I{_known}", f"--python_out={_folder.name}", f"--grpc_python_out={_folder.name}"]
# These are plain protos, so a client needs no other.
_workflow = sorted(str(file.relative_to(_proto)) for file in _proto.glob("goclaw/v1/*.proto"))
if protoc.main([*_arguments, "agent_platform.proto", *_workflow]) != 0:
    raise RuntimeError("protoc refused the protos")
sys.path.insert(0, _folder.name)

pb = importlib.import_module("agent_platform_pb2")
rpc = importlib.import_module("agent_platform_pb2_grpc")


def goclaw(file):
    """Messages and stubs of proto/goclaw/v1/`file`.proto."""
    return tuple(importlib.import_module(f"goclaw.v1.{file}_pb2{kind}") for kind in ("", "_grpc"))

"""The workflow engine of the suite, and what tests of it say again and again."""

import json
import urllib.error
import urllib.request

import grpc

from eventually import eventually
from processes import Backend, free_port
from security import security
from stubs import goclaw

pb, rpc = goclaw("workflow")

COMPLETED, FAILED, CANCELLED = pb.WORKFLOW_STATUS_COMPLETED, pb.WORKFLOW_STATUS_FAILED, pb.WORKFLOW_STATUS_CANCELLED


class Engine(Backend):
    """The engine, with its data in a directory of its own."""

    def __init__(self, mesh, folder):
        door = f"{security.scheme}://{mesh.target}"
        super().__init__(folder, "workflow-worker", 1, mesh.consul, SWITCHBOARD_ROUTER=door)
        self.mesh = mesh
        self.data = folder / "data"
        self.http, self.figures = free_port(), free_port()
        self.argv += ["--data", str(self.data), "--http", f"127.0.0.1:{self.http}", "--metrics", f"127.0.0.1:{self.figures}"]

    def request(self, method, path, body=None, **headers):
        """Status and document of a request; in the secure form with the token of the tests, unless `authorization` says else."""
        status, _, text = self.fetch(self.http, method, path, body, **headers)
        return status, json.loads(text)

    def fetch(self, port, method, path, body=None, **headers):
        """Status, headers and text of a request."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"content_type": "application/json", **dict(security.metadata), **headers}
        headers = {name.replace("_", "-"): value for name, value in headers.items() if value}
        request = urllib.request.Request(f"{security.scheme}://127.0.0.1:{port}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=40, context=security.http_context) as answer:
                return answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read().decode()

    def serve(self):
        self.start()
        eventually(30, lambda: len(self.mesh.consul.passing("worker-workflow")) == 1)
        return self


def task(id, after=(), **metadata):
    """A task as a client has it that knows the origin's contract only: everything is in its metadata."""
    return pb.TaskDefinition(id=id, dependencies=after, metadata={key.replace("__", "."): str(value) for key, value in metadata.items()})


def submit(stub, tasks, key=None):
    metadata = [("idempotency-key", key)] if key else []
    return stub.SubmitWorkflow(pb.SubmitWorkflowRequest(name="e2e", tasks=tasks), timeout=10, metadata=metadata).workflow_id


def status(stub, workflow_id):
    return stub.GetWorkflowStatus(pb.GetWorkflowStatusRequest(workflow_id=workflow_id), timeout=10)


def ended(stub, workflow_id, limit=30, state=COMPLETED):
    def look():
        try:
            return status(stub, workflow_id).status == state
        except grpc.RpcError as error:
            # The engine is on its way back.
            assert error.code() == grpc.StatusCode.UNAVAILABLE, error
            return False

    eventually(limit, look)
    return status(stub, workflow_id)


def result(stub, workflow_id, task_id):
    answer = stub.GetTaskResult(pb.GetTaskResultRequest(workflow_id=workflow_id, task_id=task_id), timeout=10)
    return json.loads(answer.result_data)

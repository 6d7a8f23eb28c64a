"""With two workers, the one that runs a task answers for it, whichever router is asked and however the task is named."""

import pytest

from processes import eventually
from stubs import pb, rpc

TASKS = 8


def status(connect, task_id, worker_id):
    """Asks through a new connection: HAProxy takes the next router."""
    stub = rpc.TaskWorkerStub(connect())
    return stub.GetTaskStatus(pb.TaskStatusRequest(task_id=task_id, worker_id=worker_id), timeout=5)


@pytest.mark.parametrize("worker_id", ["itinerary-worker", ""], ids=["worker-named", "worker-not-named"])
def test_status_of_running_and_finished_tasks_through_every_router(mesh, connect, worker_id):
    names = [f"affine-{worker_id or 'any'}-{number}" for number in range(TASKS)]
    parameters = {"destination": "Lisbon", "days": "5", "pace_ms": "600"}
    stub = rpc.TaskWorkerStub(connect())
    tasks = {
        name: stub.ProcessTask.future(
            pb.TaskRequest(task_id=name, agent_id="itinerary-worker", parameters=parameters), timeout=30
        )
        for name in names
    }

    # Running: each router knows each task as soon as it has begun, and never loses it.
    for name in names:
        eventually(5, lambda: status(connect, name, worker_id).status == "running")
        for _ in mesh.routers:
            seen = status(connect, name, worker_id)
            assert seen.status in ("running", "completed") and seen.progress, seen

    results = {name: task.result() for name, task in tasks.items()}
    for name in names:
        assert results[name].success, results[name]
        for _ in mesh.routers:
            seen = status(connect, name, worker_id)
            assert (seen.status, seen.result) == ("completed", results[name].output)

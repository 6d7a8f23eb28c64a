"""Workflows that are submitted by the clock, as clients meet them: through the same door, and on after kill -9."""

import grpc

from eventually import eventually
from stubs import goclaw
from workflows import ended, pb, task

schedules, schedules_rpc = goclaw("schedule")


def test_a_schedule_runs_by_the_second_and_goes_on_after_kill_9(engine, workflows, channel):
    stub = schedules_rpc.ScheduleServiceStub(channel)
    workflow = pb.SubmitWorkflowRequest(name="tick", tasks=[task("say", type="agent", target="echo-agent", input="tick")])
    spec = schedules.ScheduleSpec(interval_ms=1000, workflow=workflow)
    made = stub.CreateSchedule(schedules.CreateScheduleRequest(schedule_id="tick", spec=spec), timeout=10)
    assert made.next_run_at.ToMilliseconds() > made.created_at.ToMilliseconds()

    def after(runs):
        """The schedule, when more than so many runs of it were submitted."""
        try:
            seen = stub.GetSchedule(schedules.GetScheduleRequest(schedule_id="tick"), timeout=5)
        except grpc.RpcError as error:
            # The engine is on its way back.
            assert error.code() == grpc.StatusCode.UNAVAILABLE, error
            return None
        return seen if seen.runs_total > runs else None

    before = eventually(10, lambda: after(0))
    ended(workflows, before.last_workflow_id)
    engine.kill()
    engine.serve()
    back = eventually(20, lambda: after(0))
    assert back.runs_total >= before.runs_total and back.owner == before.owner
    seen = eventually(20, lambda: after(back.runs_total))
    ended(workflows, seen.last_workflow_id)
    stub.DeleteSchedule(schedules.DeleteScheduleRequest(schedule_id="tick"), timeout=10)
    assert not stub.ListSchedules(schedules.ListSchedulesRequest(), timeout=10).schedules

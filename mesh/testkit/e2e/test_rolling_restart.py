"""Everything is replaced one by one under load, with SIGTERM, and no call notices (complaints 17, 28, 29, 30, 34, 36)."""

import pytest

from processes import eventually
from test_outages import Load, repaired  # noqa: F401 a fixture

# HAProxy's removal (its check fails or the name leaves DNS), the drain, and the second GOAWAY.
END_LIMIT = 40


@pytest.mark.usefixtures("repaired")
def test_routers_one_by_one(mesh, connect):
    with Load(connect, connections=6, rest=0.005) as load:
        load.wait_for(200)
        for router in mesh.routers:
            assert router.terminate(END_LIMIT) == 0, router.tail()
            router.start()
            eventually(40, lambda: len(mesh.haproxy.up()) == 3)
            load.wait_for(100)
    assert load.failures == [], f"{len(load.failures)} of {load.calls}: {load.failures[:3]}"


@pytest.mark.usefixtures("repaired")
def test_backends_one_by_one(mesh, connect):
    with Load(connect, connections=6, rest=0.005) as load:
        load.wait_for(200)
        for echo in mesh.echoes:
            assert echo.terminate(END_LIMIT) == 0, echo.tail()
            load.wait_for(200)
            echo.start()
            eventually(20, lambda: len(mesh.consul.passing("agent-echo")) == len(mesh.echoes))
            load.wait_for(200)
    assert load.failures == [], f"{len(load.failures)} of {load.calls}: {load.failures[:3]}"

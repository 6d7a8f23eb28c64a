"""Waiting for something that will be true, and never for a time."""

import time


def eventually(limit, probe, *, rest=0.02):
    """Calls `probe` until it returns something true, and returns that. Fails with the last value or error."""
    deadline = time.monotonic() + limit
    while True:
        try:
            seen = probe()
            if seen:
                return seen
        except Exception as error:  # noqa: BLE001 whatever it is, it is reported when the time is over
            seen = error
        if time.monotonic() + rest > deadline:
            raise AssertionError(f"not within {limit} s; last seen: {seen!r}")
        time.sleep(rest)

"""Streams of every shape: long, both ways, message by message, and with back-pressure."""

import queue

import pytest

from stubs import pb


def test_a_thousand_messages_arrive_in_order(agents):
    words = [f"word-{number}" for number in range(1000)]
    request = pb.TaskRequest(agent_id="echo-agent", input=" ".join(words))
    chunks = list(agents.StreamTask(request, timeout=20))
    assert [chunk.content for chunk in chunks] == words
    assert [chunk.is_final for chunk in chunks] == [False] * 999 + [True]


def test_a_bidirectional_call_answers_each_message_before_the_next_is_sent(bytes_method):
    to_send = queue.SimpleQueue()
    call = bytes_method("Chat")(iter(to_send.get, None), timeout=20)
    for number in range(200):
        to_send.put(b"%d" % number)
        assert next(call) == b"echo:%d" % number
    to_send.put(None)
    with pytest.raises(StopIteration):
        next(call)
    assert call.code().name == "OK"


def test_a_client_stream_is_collected(bytes_method):
    messages = (b"x" * (number % 100) for number in range(1000))
    assert bytes_method("Collect")(messages, timeout=20) == b"1000 messages, 49500 bytes"


def test_a_stream_read_slowly_loses_nothing(bytes_method):
    numbers = []
    for message in bytes_method("Count")(b"20000", timeout=60):
        numbers.append(int(message))
    assert numbers == list(range(20000))


def test_many_calls_share_one_connection(agents):
    request = pb.TaskRequest(agent_id="echo-agent", input="a b c")
    calls = [agents.StreamTask(request, timeout=30) for _ in range(200)]
    assert [len(list(call)) for call in calls] == [3] * 200

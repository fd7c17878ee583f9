"""Each message goes to the sinks that want its stream, in their order."""

from gateway.encoding.streams import stream_of
from gateway.outbox.fan_out import Branch, FanOut
from tests.support.outbox_parts import message


class Queue:
    def __init__(self) -> None:
        self.topics: list[str] = []

    def put(self, message):
        self.topics.append(message.topic.rpartition("/")[2])


def test_streams_are_told_by_the_last_level():
    every, some, none = Queue(), Queue(), Queue()
    streams = frozenset({"events", "values"})
    fan = FanOut([Branch(every, frozenset()), Branch(some, streams), Branch(none, frozenset({"raw"}))], stream_of)
    kinds = ["window", "event", "value", "stats", "summary", "line"]
    for kind in kinds * 2:
        fan.put(message(1, topic=f"p/v1/g/d/{kind}"))
    assert every.topics == kinds * 2
    assert some.topics == ["event", "value"] * 2
    assert not none.topics

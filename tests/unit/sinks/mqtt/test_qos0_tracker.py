"""What an answered question proves."""

import asyncio
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import NotConnected
from gateway.sinks.mqtt.qos0_tracker import Qos0Tracker
from gateway.sinks.mqtt.types import Outgoing


@given(st.lists(st.sampled_from("s?!"), max_size=60))
def test_proved_is_what_was_sent_before_a_question_that_was_answered(steps: Sequence[str]) -> None:
    """s: a message, ?: a question, !: an answer. Answers come in the order of the questions; too many are none."""

    async def play() -> None:
        qos0, sent = Qos0Tracker(), []
        asked_after: list[int] = []
        answers = proved = 0
        for step in steps:
            if step == "s":
                sent.append(Outgoing("a", b"", False, None, asyncio.get_running_loop().create_future(), qos=0))
                qos0.sent(sent[-1])
            elif step == "?":
                asked_after.append(len(sent))
                qos0.ping_sent(0.0)
            else:
                qos0.answered(0.0)
                if answers < len(asked_after):
                    proved = max(proved, asked_after[answers])
                    answers += 1
            assert [message.future.done() for message in sent] == [n < proved for n in range(len(sent))]
            assert len(qos0) == len(sent) - proved
            assert qos0.has_unasked == (len(sent) > (asked_after[-1] if asked_after else 0))
        qos0.fail(NotConnected("cut"))
        assert all(message.future.done() for message in sent)
        assert [message.future.exception() is None for message in sent] == [n < proved for n in range(len(sent))]
        qos0.answered(0.0)

    asyncio.run(play())


def test_each_message_gets_its_own_question_unless_answers_come_at_once() -> None:
    qos0 = Qos0Tracker()
    assert not qos0.quick, "nothing is known of a new connection"
    for took_s, quick in ((0.01, True), (0.5, False), (0.09, True)):
        qos0.ping_sent(10.0)
        qos0.answered(10.0 + took_s)
        assert qos0.quick == quick
    qos0.answered(99.0)
    assert qos0.quick, "an answer that nobody asked for says nothing"

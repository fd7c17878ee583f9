"""What a type of event says of itself: payload, journal."""

from dataclasses import dataclass
from typing import ClassVar

import pytest

from gateway.core.events.delivery import MessagesLost, OutboxStateChanged
from gateway.core.events.device import DeviceStateChanged
from gateway.core.events.event import UNSET, Event, Unset
from gateway.core.events.gateway import ClockJump
from gateway.core.messages import Loss
from tests.support.events import limit_alarm


@dataclass(frozen=True, slots=True, kw_only=True)
class Example(Event):
    """An event of the tests."""

    kind: ClassVar[str] = "example"
    severity: ClassVar[int] = 7

    from_: int
    note: str | None = None
    lost: int | Unset | None = UNSET


@pytest.mark.parametrize(
    ("fields", "payload"),
    [
        ({"from_": 1}, {"from": 1, "severity": 7}),
        ({"from_": 1, "note": "", "lost": None}, {"from": 1, "note": "", "lost": None, "severity": 7}),
    ],
)
def test_optional_fields_are_left_out_and_keywords_lose_their_underscore(
    fields: dict[str, object], payload: dict[str, object]
) -> None:
    event = Example(time_ns=1, device=2, tag=3, **fields)
    assert list(event.payload().items()) == list(payload.items())


def test_a_field_of_severity_keeps_its_place() -> None:
    assert list(limit_alarm().payload()) == ["state", "condition", "severity", "value", "limit"]


@pytest.mark.parametrize(("state", "severity", "level"), [("ok", 1, "info"), ("down", 600, "warning")])
def test_severity_and_level_follow_the_state(state: str, severity: int, level: str) -> None:
    event = DeviceStateChanged(time_ns=1, device=0, state=state, reason="x")
    assert (event.severity, event.log_level) == (severity, level)


def test_the_journal_has_its_own_words_and_units() -> None:
    jump = ClockJump(time_ns=1, by_ms=-1500)
    assert (jump.log_text, jump.log_level, jump.log_fields()) == ("clock jumped", "warning", {"by_s": -1.5})
    damaged = OutboxStateChanged(time_ns=1, state="damaged", reason="x", lost=None)
    assert damaged.log_fields() == {"state": "damaged", "reason": "x", "lost": None}


def test_merged_messages_are_no_loss_to_the_journal() -> None:
    merged = MessagesLost.of(Loss("a/b", "boot", 3, 9, 6, 1, 2, "thinned"), 1, None)
    lost = MessagesLost.of(Loss("a/b", "boot", 3, 9, 6, 1, 2, "max_age", "7d", 60, 1), 1, None)
    assert (merged.log_level, merged.log_text, merged.severity) == ("info", "messages merged", 200)
    assert (lost.log_level, lost.log_text, lost.severity) == ("warning", "messages lost", 700)
    assert lost.log_fields() == {
        "topic": "a/b", "count": 6, "windows": 60, "seq": "3..9", "cause": "max_age", "detail": "7d",
    }  # fmt: skip

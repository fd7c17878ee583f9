"""What the retained status says, and when it says something new."""

import asyncio
from collections.abc import Mapping

from gateway.core.messages import DeviceState
from gateway.runtime.status import StatusBoard


def text(states: Mapping[int, DeviceState]) -> bytes:
    return ";".join(f"{n}={s.state}:{s.reason}" for n, s in states.items()).encode()


async def is_news(board: StatusBoard) -> bool:
    """Whether `changed` returns."""
    task = asyncio.create_task(board.changed())
    for _ in range(3):
        await asyncio.sleep(0)
    done = task.done()
    task.cancel()
    return done


def test_every_device_is_down_until_it_speaks() -> None:
    """Nothing is claimed of a device that nobody has seen."""
    assert StatusBoard(2, "t", text, str.encode).current() == ("t", b"0=down:starting;1=down:starting")


async def test_a_change_of_state_or_reason_is_news_once() -> None:
    """`changed` returns once for each; the same again is none."""
    board = StatusBoard(2, "t", text, str.encode)
    assert not await is_news(board)
    for state in (DeviceState(1, "ok"), DeviceState(1, "degraded", "a"), DeviceState(1, "degraded", "b")):
        assert board.update(state)
        assert await is_news(board)
        assert board.state_of(1) == state
        assert board.current()[1] == b"0=down:starting;" + text({1: state})
        assert not board.update(state)
        assert not await is_news(board)


async def test_who_waits_is_woken_and_sees_the_newest_only() -> None:
    """Three changes between two looks are one news, with the last state."""
    board = StatusBoard(1, "t", text, str.encode)
    waiting = asyncio.create_task(board.changed())
    await asyncio.sleep(0)
    for state in ("ok", "degraded", "ok"):
        board.update(DeviceState(0, state, "x"))  # type: ignore[arg-type]
    await asyncio.wait_for(waiting, 1)
    assert board.current()[1] == b"0=ok:x"
    assert not await is_news(board)


async def test_it_can_be_woken_without_a_new_state() -> None:
    """A host asks for births again: nothing has changed, and there is something to tell."""
    board = StatusBoard(1, "t", text, str.encode)
    board.wake()
    assert await is_news(board)
    assert not await is_news(board)
    assert board.states()[0] == DeviceState(0, "down", "starting")


def test_offline_says_why() -> None:
    assert StatusBoard(1, "t", text, str.encode).offline("stopped") == ("t", b"stopped")

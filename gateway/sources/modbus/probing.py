"""In which order a unit that does not answer is asked for a sign of life. Pure."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final

from gateway.sources.modbus.poll import Poll

_MOST_AT_ONCE: Final = 4


def life_signs(
    polls: Sequence[Poll], suspects: Sequence[Poll], single: Callable[[Poll, int], Poll], begin: int
) -> tuple[Iterator[Poll], int]:
    """Return requests to send one after the other, without end, and how many of them are worth sending at once.

    Some units are silent where a request touches certain registers, and answer all others. So what has been answered before
    comes first; where nothing was, the tags of the silent requests are asked one by one, those far from each other first.
    After that whole requests and single tags take turns. suspects: what was not answered lately; single: makes a request for
    one tag of another; begin: how many signs were tried before, so that a search that was interrupted goes on.
    """
    sound = [poll for poll in polls if poll.fault is None] or list(polls)
    proven = [poll for poll in sound if poll.has_answered and poll not in suspects]
    untried = [poll for poll in sound if poll not in suspects]
    places = [(poll, at) for poll in sound if len(poll.request.spans) > 1 for at in range(len(poll.request.spans))]
    order = spread(len(places))
    if proven:
        first = proven[:1]
    elif any(poll.has_answered for poll in suspects):
        first = []  # what it used to answer is silent now: most likely it is gone
    else:
        first = untried[:_MOST_AT_ONCE]
        wanted = min(_MOST_AT_ONCE - len(first), len(order))
        first += [single(*places[order[(begin + turn) % len(order)]]) for turn in range(wanted)]

    def endless() -> Iterator[Poll]:
        yield from first
        turn = begin + len(first)
        while True:
            yield sound[turn % len(sound)]
            if order:
                yield single(*places[order[turn % len(order)]])
            turn += 1

    return endless(), len(first)


def spread(count: int) -> list[int]:
    """Return 0 to count - 1, ends first, then middles, then what is between: neighbours stand far from each other."""
    found = dict.fromkeys(islice((0, count - 1), min(2, count)))
    parts = 2
    while len(found) < count:
        found |= dict.fromkeys(part * (count - 1) // parts for part in range(1, parts))
        parts *= 2
    return list(found)

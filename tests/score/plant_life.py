"""Ordinary plant life at 1 Hz: healthy tags of many kinds, to count what a detector says of them.

Own models, no recorded data. Every kind does what such tags do every day; none has a fault.
"""

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

KINDS = (
    "switching machine",
    "random switching",
    "shifts",
    "set-points",
    "controlled to set-points",
    "batches",
    "saw-tooth",
    "counter",
    "counter with resets",
    "log-normal",
    "slow log-normal",
    "pulses",
    "valve",
    "on-off",
    "quantised temperature",
    "day cycle",
)


def plant_life(seconds: int, per: int, rng: np.random.Generator) -> Values:
    """Return float64[seconds, kinds * per]: `per` tags of each kind."""
    columns = [_kind(kind, seconds, rng) for kind in KINDS for _ in range(per)]
    return np.column_stack(columns)


def _kind(kind: str, n: int, rng: np.random.Generator) -> Values:
    t = np.arange(n, dtype=float)
    noise = rng.standard_normal(n)
    if kind == "switching machine":
        period, duty = rng.uniform(300, 1800), rng.uniform(0.2, 0.8)
        return np.asarray(np.where((t / period + rng.random()) % 1 < duty, 80, 20) + noise)
    if kind == "random switching":
        return _held(n, rng, 200, 3000, lambda: rng.choice([0.0, 35.0, 70.0])) + 0.5 * noise
    if kind == "shifts":
        on = (t / 28800 + rng.random() * 3) % 3 < rng.choice([1, 2])
        return np.asarray(_lagged(np.where(on, 60.0, 5.0), 120) + 0.8 * noise)
    if kind == "set-points":
        return _held(n, rng, 1800, 14400, lambda: round(rng.uniform(40, 60) * 2) / 2)
    if kind == "controlled to set-points":
        return _lagged(_held(n, rng, 1800, 14400, lambda: round(rng.uniform(40, 60) * 2) / 2), 60) + 0.3 * noise
    if kind == "batches":
        return _batches(n, rng) + 0.4 * noise
    if kind == "saw-tooth":
        period = rng.uniform(600, 5400)
        return (t / period + rng.random()) % 1 * 100 + 0.2 * noise
    if kind.startswith("counter"):
        rate = np.maximum(0, _ar(n, rng, 0.999) * 0.3 + 1)
        total = np.floor(np.cumsum(rate * rng.uniform(0.5, 5)))
        return total % 50_000 if kind.endswith("resets") else total
    if kind == "log-normal":
        return np.asarray(np.exp(0.6 * noise) * 10)
    if kind == "slow log-normal":
        return np.exp(0.6 * _ar(n, rng, 0.998)) * 10 * (1 + 0.02 * noise)
    if kind == "pulses":
        return _pulses(n, rng)
    if kind == "valve":
        return np.clip(50 + 40 * _ar(n, rng, 0.9995) + 0.2 * noise, 0, 100)
    if kind == "on-off":
        return _held(n, rng, 30, 2400, _Toggle().next)
    if kind == "quantised temperature":
        return np.round(60 + 2 * _ar(n, rng, 0.9998), 1)
    return np.asarray(20 + 5 * np.sin(2 * np.pi * t / 86400 + rng.random() * 6) + 0.3 * _ar(n, rng, 0.999) + 0.1 * noise)


class _Toggle:
    def __init__(self) -> None:
        self._state = 0.0

    def next(self) -> float:
        self._state = 1 - self._state
        return self._state


def _held(n: int, rng: np.random.Generator, shortest: float, longest: float, level) -> Values:  # type: ignore[no-untyped-def]
    out, at = np.empty(n), 0
    while at < n:
        end = at + int(rng.uniform(shortest, longest))
        out[at:end] = level()
        at = end
    return out


def _recursive(x: Values, a: float) -> Values:
    out, y = np.empty(x.size), x[0]
    for i, one in enumerate(x.tolist()):
        y = a * y + one
        out[i] = y
    return out


def _ar(n: int, rng: np.random.Generator, a: float) -> Values:
    e = np.sqrt(1 - a * a) * rng.standard_normal(n)
    e[0] = rng.standard_normal()
    return _recursive(e, a)


def _lagged(x: Values, seconds: float) -> Values:
    a = float(np.exp(-1 / seconds))
    e = (1 - a) * x
    e[0] = x[0]
    return _recursive(e, a)


def _batches(n: int, rng: np.random.Generator) -> Values:
    parts: list[Values] = []
    while sum(map(len, parts)) < n:
        top = rng.uniform(78, 82)
        parts += [
            np.linspace(20, top, int(rng.uniform(800, 1000))),
            np.full(int(rng.uniform(1200, 1800)), top),
            np.linspace(top, 20, int(rng.uniform(1500, 1800))),
            np.full(int(rng.uniform(300, 2400)), 20.0),
        ]
    return np.concatenate(parts)[:n]


def _pulses(n: int, rng: np.random.Generator) -> Values:
    out, at = np.zeros(n), 0
    while at < n:
        at += int(rng.exponential(400)) + 5
        length = int(rng.uniform(1, 40))
        out[at : at + length] = rng.uniform(5, 8)
        at += length
    return out

"""A model of a small press line, whose values both simulated devices have. Pure: seed and time determine every value."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal
from zlib import crc32

FaultName = Literal["bearing", "overheating", "pressure", "stop"]
FAULTS: Final[tuple[FaultName, ...]] = ("bearing", "overheating", "pressure", "stop")
"""In the order in which they come, repeated without end."""

FIRST_FAULT_S: Final = 20.0
FAULT_EVERY_S: Final = 30.0
FAULT_LASTS_S: Final = 16.0

_RISE_S, _FALL_S = 3.0, 4.0
_STOPPED_S: Final = 12.0
_STROKES_PER_S: Final = 0.5
_TICK_S: Final = 0.05
_MASK: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of the line."""

    name: FaultName
    """Which fault."""
    strength: float
    """How strong it is, 0 to 1."""


def fault_at(time_s: float) -> Fault | None:
    """Return the fault at a time: one every half minute in turn, rising in 3 s, gone after 16 s."""
    number, since_s = divmod(time_s - FIRST_FAULT_S, FAULT_EVERY_S)
    if number < 0 or since_s >= FAULT_LASTS_S:
        return None
    strength = min(1.0, since_s / _RISE_S, (FAULT_LASTS_S - since_s) / _FALL_S)
    return Fault(FAULTS[int(number) % len(FAULTS)], strength)


def working_s(time_s: float) -> float:
    """Return how long the line has worked until a time, without the stops."""
    begin_s = FIRST_FAULT_S + FAULTS.index("stop") * FAULT_EVERY_S
    turns, since_s = divmod(time_s - begin_s, len(FAULTS) * FAULT_EVERY_S)
    return time_s if turns < 0 else time_s - turns * _STOPPED_S - min(since_s, _STOPPED_S)


class PressLine:
    """Press and line: strokes every two seconds, machines that warm up, noise, drift, and a fault every half minute.

    Time is in seconds since the line was switched on; values come by `device/tag`, in engineering units.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def at(self, time_s: float) -> dict[str, float]:
        """Return every value of both devices at a time. Counters are int and only rise; switches are bool."""
        state = _State.of(time_s, self._noise(time_s))
        return {f"press/{name}": value for name, value in _press(state).items()} | {
            f"line/{name}": value for name, value in _line(state).items()
        }

    def other(self, label: str, time_s: float) -> float:
        """Return a value for a tag that the press line does not have: a slow swing around 50 with its own period."""
        period_s = 30 + crc32(label.encode()) % 60
        return 50 + 25 * math.sin(2 * math.pi * time_s / period_s) + self._noise(time_s)(label)

    def _noise(self, time_s: float) -> Callable[[str], float]:
        """Return white noise of about unit variance by channel, constant for 50 ms: a hash, so that no state is needed."""
        tick = int(time_s / _TICK_S)

        def noise(channel: str) -> float:
            bits = _mixed(crc32(channel.encode()) ^ (tick << 32) ^ (self._seed * 0x9E3779B97F4A7C15 & _MASK))
            # The mean of four uniform values is nearly normal; its standard deviation is 1 / sqrt(12).
            return sum((bits >> shift & 0xFFFF) / 32767.5 - 1 for shift in (0, 16, 32, 48)) / 4 * 3.46

        return noise


def _mixed(bits: int) -> int:
    """Mix the bits with SplitMix64's finaliser (Steele, Lea, Flood 2014)."""
    bits = (bits ^ bits >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    bits = (bits ^ bits >> 27) * 0x94D049BB133111EB & _MASK
    return bits ^ bits >> 31


@dataclass(frozen=True, slots=True)
class _State:
    """The state of the line at one time, from which all values are computed."""

    time_s: float
    """Seconds since the line was switched on."""
    working_s: float
    """Of these, without the stops."""
    running: bool
    """Whether it works now."""
    load: float
    """0 when stopped, 1 at work."""
    angle: float
    """Of the crank, radians."""
    force: float
    """0 to 1 over a stroke."""
    bearing: float
    """Strength of the fault `bearing`, 0 to 1."""
    heat: float
    """Strength of the fault `overheating`, 0 to 1."""
    leak: float
    """Strength of the fault `pressure`, 0 to 1."""
    noise: Callable[[str], float]
    """Returns white noise of unit variance by channel."""

    @classmethod
    def of(cls, time_s: float, noise: Callable[[str], float]) -> "_State":
        fault = fault_at(time_s)
        strength: dict[str, float] = dict.fromkeys(FAULTS, 0.0)
        if fault is not None:
            strength[fault.name] = fault.strength
        worked = working_s(time_s)
        running = working_s(time_s + 1e-6) > worked
        load = 1 - strength["stop"]
        angle = 2 * math.pi * worked * _STROKES_PER_S
        force = max(0.0, -math.cos(angle)) ** 3 * load
        return cls(
            time_s, worked, running, load, angle, force,
            strength["bearing"], strength["overheating"], strength["pressure"], noise,
        )  # fmt: skip

    def warm(self, tau_s: float) -> float:
        """Return how far a part has warmed up, 0 to 1."""
        return 1 - math.exp(-self.time_s / tau_s)

    def drift(self, period_s: float) -> float:
        """Return a slow swing, -1 to 1."""
        return math.sin(2 * math.pi * self.time_s / period_s)


def _press(s: _State) -> dict[str, float]:
    noise = s.noise
    accumulator = 162 - 6 * s.force - 48 * s.leak + 0.4 * noise("accumulator")
    return {
        "oil_temp": 44 + 4 * s.warm(240) + 0.3 * s.drift(97) + 20 * s.heat + 0.08 * noise("oil_temp"),
        "motor_temp": 61 + 9 * s.warm(300) + 3 * s.heat + 0.1 * noise("motor_temp"),
        "bearing_temp": 48 + 4 * s.warm(200) + 9 * s.bearing + 0.1 * noise("bearing_temp"),
        "cabinet_temp": 31 + 2 * s.drift(600) + 0.1 * noise("cabinet_temp"),
        "die_temp": 180 + 3 * s.drift(150) - 5 * (1 - s.load) + 0.3 * noise("die_temp"),
        "vib_bearing": 0.2 + 1.9 * s.load + 0.4 * s.force + 9 * s.bearing + 0.12 * noise("vib_bearing"),
        "vib_motor": 0.3 + 1.3 * s.load + 1.5 * s.bearing + 0.4 * s.leak + 0.1 * noise("vib_motor"),
        "accumulator": accumulator,
        "main_pressure": 30 + 190 * s.force * (1 - 0.4 * s.leak) + 0.8 * noise("main_pressure"),
        "pilot_pressure": 35 - 4 * s.leak + 0.15 * noise("pilot_pressure"),
        "ram_position": 200 + 200 * math.cos(s.angle),
        "ram_force": max(0.0, 2450 * s.force * (1 - 0.4 * s.leak) + 6 * noise("ram_force") * s.force),
        "slide_offset": round(8 + 12 * s.drift(210) + 10 * s.force + 2 * noise("slide_offset")),
        "motor_current": 6 + 32 * s.load + 45 * s.force + 7 * s.heat + 0.5 * noise("motor_current"),
        "oil_flow": 12 + 46 * s.load - 14 * s.heat + 0.4 * noise("oil_flow"),
        "oil_level": 78 - 3 * s.leak + 0.5 * s.drift(300) + 0.1 * noise("oil_level"),
        "filter_dp": 0.82 + 0.3 * s.heat + 0.0001 * s.working_s + 0.01 * noise("filter_dp"),
        "stroke_rate": 60 * _STROKES_PER_S * s.load,
        "strokes": 1_204_311 + int(s.working_s * _STROKES_PER_S),
        "operating_time": 48_211_600 + int(s.working_s),
        "energy": 152_804.2 + s.working_s * 38 / 3600,
        "running": s.running,
        "pump_on": s.load > 0.2,
        "door_closed": s.load > 0,
        "curtain_clear": s.load > 0 or noise("curtain_clear") < 1.5,
    }


def _line(s: _State) -> dict[str, float]:
    noise = s.noise
    parts = int(s.working_s * _STROKES_PER_S)
    oven = {
        f"oven_zone_{zone}": base + 1.5 * s.drift(80 + 17 * zone) - 3 * (1 - s.load) + 0.3 * noise(f"oven_zone_{zone}")
        for zone, base in enumerate((178.0, 192.0, 204.0, 187.0), 1)
    }
    return oven | {
        "speed": 0.45 * s.load + 0.003 * noise("speed") * s.load,
        "running": s.running,
        "power": 11 + 27 * s.load + 6 * s.heat + 0.3 * noise("power"),
        "energy": 88_120.5 + s.working_s * 38 / 3600,
        "parts": 902_144 + parts,
        "rejects": 1_731 + parts // 57,
        "vib_drive": 0.2 + 1.0 * s.load + 1.2 * s.bearing + 0.08 * noise("vib_drive"),
        "belt_tension": 820 + 14 * s.drift(45) + 3 * noise("belt_tension"),
        "humidity": 43 + 4 * s.drift(900) + 0.2 * noise("humidity"),
    }

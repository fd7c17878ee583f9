"""The model of the press line: deterministic, with faults that the shipped configuration notices."""

from itertools import pairwise

import numpy as np
import pytest

from gateway.demo.plant import FAULT_LASTS_S, FAULTS, PressLine, fault_at, working_s


def test_the_same_seed_and_time_give_the_same_values():
    assert PressLine(7).at(33.3) == PressLine(7).at(33.3)


def test_another_seed_gives_other_noise_around_the_same_values():
    one, other = PressLine(1).at(10.0), PressLine(2).at(10.0)
    assert one["press/oil_temp"] != other["press/oil_temp"]
    assert one["press/oil_temp"] == pytest.approx(other["press/oil_temp"], abs=1)


def test_faults_come_every_half_minute_in_turn_from_20_s():
    assert fault_at(19.9) is None
    assert [fault_at(25.0 + 30 * n).name for n in range(5)] == [*FAULTS, FAULTS[0]]
    assert fault_at(25.0).strength == 1
    assert fault_at(20.0 + FAULT_LASTS_S) is None


def test_the_line_does_not_work_while_it_is_stopped():
    assert working_s(110.0) == 110
    assert working_s(116.0) == working_s(122.0) == 110
    assert working_s(132.0) == 120


def test_counters_never_fall_and_are_whole():
    line = PressLine(1)
    states = [line.at(t / 4) for t in range(1200)]
    for name in ("press/strokes", "press/operating_time", "line/parts", "line/rejects"):
        values = [state[name] for state in states]
        assert all(isinstance(value, int) for value in values)
        assert all(a <= b for a, b in pairwise(values)), name


def test_pressure_vibration_and_switch_agree_in_a_stop():
    stopped = PressLine(1).at(118.0)
    assert not stopped["press/running"]
    assert not stopped["line/running"]
    assert stopped["press/vib_bearing"] < 1
    assert stopped["line/speed"] == 0
    assert stopped["press/main_pressure"] < 40


def test_noise_has_about_unit_variance():
    noise = [PressLine(1)._noise(t * 0.05)("x") for t in range(4000)]
    assert np.mean(noise) == pytest.approx(0, abs=0.1)
    assert np.std(noise) == pytest.approx(1, abs=0.1)

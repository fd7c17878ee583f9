"""Files that attack: a configuration is refused or taken within seconds, what else is read at a start delays no neighbour;
neither takes more than 64 MiB; SIGTERM ends a gateway at any time.
"""

from pathlib import Path

import pytest

from tests.hostile.files import CONFIGURATION, KEPT
from tests.hostile.plant import MOST_GROWTH_BYTES, MOST_ONCE_S, MOST_STOP_S, MOST_WAIT_S, Plant

MOST_CPU_S = 5.0
"""What reading a configuration may take beyond a good one, of the processor: how long that is depends on the machine."""


@pytest.fixture(scope="module")
def usual(mosquitto: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[float, int]:
    """What a start with a good folder costs: seconds of the processor and bytes of memory."""
    with Plant(tmp_path_factory.mktemp("usual"), mosquitto, {}) as plant:
        plant.start()
        plant.polled_or_ended(60)
        plant.stop()
        return plant.cost()


@pytest.mark.parametrize("name", CONFIGURATION)
def test_no_configuration_takes_long_or_much(mosquitto: str, tmp_path: Path, usual: tuple[float, int], name: str) -> None:
    with Plant(tmp_path, mosquitto, {}) as plant:
        CONFIGURATION[name](tmp_path)
        plant.start()
        plant.polled_or_ended(usual[0] + MOST_CPU_S)
        stopped_s = plant.stop()
        cpu_s, resident = plant.cost()
        log = plant.gateway.log()
    assert stopped_s <= MOST_STOP_S
    assert cpu_s - usual[0] <= MOST_CPU_S, log[-2000:]
    assert resident - usual[1] <= MOST_GROWTH_BYTES, log[-2000:]
    assert "Traceback" not in log, log[-4000:]


@pytest.mark.parametrize("name", KEPT)
def test_what_lies_there_at_a_start_delays_nobody(
    mosquitto: str, tmp_path: Path, usual: tuple[float, int], name: str
) -> None:
    with Plant(tmp_path, mosquitto, {}) as plant:
        KEPT[name](tmp_path)
        plant.start()
        assert plant.polled_or_ended(usual[0] + MOST_CPU_S), plant.gateway.log()[-3000:]
        toll = plant.watched()
        resident = plant.peak()
        stopped_s = plant.stop()
        log = plant.gateway.log()
    assert toll.usual_s <= MOST_WAIT_S, toll
    assert toll.worst_s <= MOST_ONCE_S, toll
    assert resident - usual[1] <= MOST_GROWTH_BYTES
    assert stopped_s <= MOST_STOP_S
    assert "Traceback" not in log, log[-4000:]
    assert "please report it" not in log, log[-4000:]

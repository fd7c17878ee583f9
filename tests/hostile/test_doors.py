"""The rule at every door of a running gateway: whatever comes in, no neighbour waits longer than 100 ms, the memory grows
by at most 64 MiB, and the process obeys SIGTERM within 5 s.

A row is a door and a peer behind it. Rows of a door share one gateway, which has one device for each peer and the
well-behaved neighbour; the peer of the row attacks while the others behave. Then all attack at once, and SIGTERM comes in
the middle of it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.hostile import http, modbus, mqtt, opcua, pki, tls
from tests.hostile.plant import MOST_STOP_S, Peer, Plant


@dataclass(frozen=True, slots=True)
class Door:
    """peers: by what they do, how to make each, given an empty folder. root: lines of gateway.yaml."""

    peers: Mapping[str, Callable[[Path], Peer]]
    root: str = ""


_SPARKPLUG: Final = "publish:\n  layout: sparkplug\n"
DOORS: Final = {
    "modbus": Door(modbus.PEERS),
    "opcua": Door(opcua.PEERS),
    "pki": Door(pki.PEERS),
    "mqtt": Door(mqtt.TCP, _SPARKPLUG),
    "websocket": Door(mqtt.WEBSOCKET, _SPARKPLUG),
    "http": Door(http.PEERS, http.ROOT),
    "tls": Door(tls.PEERS, _SPARKPLUG),
}
ROWS: Final = [
    pytest.param(name, peer, id=f"{name}-{peer}".replace(" ", "_")) for name, door in DOORS.items() for peer in door.peers
]


@pytest.fixture(scope="module")
def plant(request: pytest.FixtureRequest, mosquitto: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """A gateway whose peers are those of the door."""
    door = DOORS[request.param]
    folder = tmp_path_factory.mktemp("plant")
    peers = {what: make(folder) for what, make in door.peers.items()}
    with Plant(folder, mosquitto, peers, root=door.root) as running:
        yield running


@pytest.mark.parametrize(("plant", "peer"), ROWS, indirect=["plant"])
def test_whatever_comes_in_no_neighbour_waits_and_the_memory_stays(plant: Plant, peer: str) -> None:
    toll = plant.endure(peer)
    assert toll.is_borne, toll


@pytest.mark.parametrize("plant", DOORS, indirect=True)
def test_sigterm_is_obeyed_in_the_middle_of_all_attacks(plant: Plant) -> None:
    plant.all_attack()
    assert plant.stop() <= MOST_STOP_S
    assert "please report it" not in plant.gateway.log(), "no attack leads to a bug"
    assert "Traceback" not in plant.gateway.log()

"""The estimates of `gateway plan` by the book: characters on the line, turnaround, pauses."""

import pytest

from gateway.sources.modbus.tools.bus_load import connection_loads
from tests.support.modbus_fake import entry


def test_a_serial_line_by_hand() -> None:
    """9600 8E1: 11 bits a character. 10 registers: 8 + 25 characters, then 3.5 of silence, then 20 ms until the reply."""
    device = entry([{"address": f"holding:{n}"} for n in range(10)], url="rtu:///dev/ttyUSB0?baudrate=9600")
    (load,) = connection_loads([device], 0.02)
    assert load.share == pytest.approx((8 + 25 + 3.5) * 11 / 9600 + 0.02)
    assert (load.per_s, load.requests[0].fill) == (1, 1)


def test_every_units_turn_costs_a_pause_where_units_share_a_line() -> None:
    units = [
        entry([{"address": "holding:0"}], number=n, first_tag=n, unit=n + 1, url="rtu+tcp://moxa", interval="500ms")
        for n in range(3)
    ]
    (load,) = connection_loads(units, 0.01)
    assert load.per_s == 6
    assert load.share == pytest.approx(6 * 0.01 + 6 * 0.03)


def test_connections_are_apart_and_requests_in_flight_share_the_time() -> None:
    one = entry([{"address": "holding:0"}, {"address": "holding:9"}], max_in_flight=4, interval="10ms")
    two = entry([{"address": "coil:0"}], number=1, first_tag=2, url="tcp://other")
    first, second = connection_loads([one, two], 0.02)
    assert first.share == pytest.approx(100 * 0.02 / 4)
    assert first.requests[0].fill == pytest.approx(2 / 10)
    assert second.share == pytest.approx(0.02)


def test_ascii_takes_twice_the_characters() -> None:
    device = entry([{"address": "holding:0"}], url="ascii:///dev/ttyS0?baudrate=9600&turnaround=0s")
    (load,) = connection_loads([device], 0.0)
    assert load.share == pytest.approx((17 + 15) * 10 / 9600)

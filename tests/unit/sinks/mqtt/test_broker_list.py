"""Several brokers: the order of attempts, and the way back."""

from gateway.sinks.mqtt.broker_list import BrokerList


def test_the_preferred_one_first_and_again_after_a_loss() -> None:
    brokers = BrokerList(3, 300)
    assert brokers.order == [0, 1, 2]
    brokers.connected(1, 0)
    brokers.lost(100)
    assert brokers.order == [0, 1, 2]


def test_after_a_short_connection_the_next_one() -> None:
    brokers = BrokerList(3, 300)
    brokers.connected(0, 0)
    brokers.lost(2)
    assert brokers.order == [1, 2, 0]
    brokers.connected(2, 10)
    brokers.lost(12)
    assert brokers.order == [0, 1, 2]


def test_the_way_back_begins_when_a_better_one_was_reachable_for_long() -> None:
    brokers = BrokerList(3, 300)
    brokers.connected(2, 0)
    assert list(brokers.preferred) == [0, 1]
    assert not brokers.probed(1, True, 30)
    assert not brokers.probed(1, True, 300)
    assert not brokers.probed(0, True, 310)
    assert brokers.probed(1, True, 330)
    brokers.lost(330)
    assert brokers.order == [1, 2, 0]


def test_a_broker_that_flaps_begins_anew() -> None:
    brokers = BrokerList(2, 300)
    brokers.connected(1, 0)
    assert not brokers.probed(0, True, 30)
    assert not brokers.probed(0, False, 290)
    assert not brokers.probed(0, True, 340)
    assert not brokers.probed(0, True, 630)
    assert brokers.probed(0, True, 640)


def test_a_return_that_does_not_come_off_waits_longer_each_time() -> None:
    brokers = BrokerList(2, 300)
    brokers.connected(1, 0)
    now = 0.0
    for wait in (300, 600, 1200, 2400, 3600, 3600):
        brokers.probed(0, True, now)
        assert not brokers.probed(0, True, now + wait - 1)
        assert brokers.probed(0, True, now + wait)
        brokers.lost(now + wait)
        assert brokers.order == [0, 1]
        now += wait
        brokers.connected(1, now)
    brokers.probed(0, True, now)
    assert brokers.probed(0, True, now + 3600)
    brokers.connected(0, now + 3600)
    brokers.lost(now + 4000)
    brokers.connected(1, now + 4000)
    brokers.probed(0, True, now + 4000)
    assert brokers.probed(0, True, now + 4300), "a return that came off begins anew"


def test_who_moves_on_comes_to_the_next_and_is_not_called_back() -> None:
    """Also from a connection that had lasted; when it is lost, everything is as usual."""
    brokers = BrokerList(3, 300)
    brokers.connected(1, 0)
    brokers.move_on()
    brokers.lost(1000)
    assert brokers.order == [2, 0, 1]
    brokers.connected(2, 1001)
    assert list(brokers.preferred) == []
    brokers.lost(2000)
    assert brokers.order == [0, 1, 2]
    brokers.connected(1, 2001)
    assert list(brokers.preferred) == [0]


def test_moving_on_goes_round() -> None:
    brokers = BrokerList(2, 300)
    for number in (0, 1, 0, 1):
        assert brokers.order[0] == number
        brokers.connected(number, 0)
        brokers.move_on()
        brokers.lost(3)

"""How well the gateway is."""

from gateway.web.health import health_of
from tests.support.web_view import STARTED_MS, fake_plant

SECOND = 1_000_000_000


class Now:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.ns = STARTED_MS * 1_000_000

    def __call__(self) -> int:
        return self.ns


def test_all_is_well() -> None:
    health = health_of(fake_plant(now_ns=Now()).view())
    assert (health.level, health.reasons, health.is_alive, health.is_ready) == ("ok", (), True, True)


def test_one_device_of_two_down_is_degraded_and_ready() -> None:
    plant = fake_plant(now_ns=Now())
    plant.set_state(1, "down", "no answer")
    health = health_of(plant.view())
    assert (health.level, health.reasons, health.is_ready) == ("degraded", ("down: d1",), True)


def test_all_devices_down_is_red_and_alive_and_green_again_after() -> None:
    plant = fake_plant(now_ns=Now())
    for device in (0, 1):
        plant.set_state(device, "down", "no answer")
    health = health_of(plant.view())
    assert (health.level, health.is_alive, health.is_ready) == ("red", True, False)
    plant.set_state(0, "ok")
    assert health_of(plant.view()).level == "degraded"


def test_a_stuck_part_is_red_and_not_alive() -> None:
    plant = fake_plant(now_ns=Now())
    plant.stuck = ["outbox"]
    health = health_of(plant.view())
    assert (health.level, health.is_alive, health.reasons) == ("red", False, ("no progress: outbox",))


def test_devices_that_count_as_up_and_give_no_sample_are_red_within_15_s() -> None:
    now = Now()
    plant = fake_plant(now_ns=now)
    plant.read(range(10), [1.0] * 10)
    now.ns += 9 * SECOND
    assert health_of(plant.view()).level == "ok"
    now.ns += 6 * SECOND
    assert health_of(plant.view()).level == "red"
    plant.read(range(10), [1.0] * 10)
    assert health_of(plant.view()).level == "ok"


def test_a_sink_away_or_a_disk_that_refuses_is_degraded() -> None:
    plant = fake_plant(now_ns=Now())
    plant.connected = False
    assert health_of(plant.view()).reasons == ("mqtt is not connected",)


def test_a_device_whose_configuration_cannot_be_used_is_named() -> None:
    plant = fake_plant(now_ns=Now())
    plant.refused = {"press": "press.yaml:3: no url"}
    health = health_of(plant.view())
    assert health.level == "degraded"
    assert "press.yaml:3" in health.reasons[0]


def test_subscriptions_may_be_silent() -> None:
    now = Now()
    plant = fake_plant(now_ns=now, interval_ns=0)
    now.ns += 3600 * SECOND
    assert health_of(plant.view()).level == "ok"

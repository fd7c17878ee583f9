"""A configuration of which a part cannot be used, at the start of the whole gateway."""

from pathlib import Path

from tests.support.line import EVERY_WINDOW, running_line
from tests.support.network import until


def status_of(line) -> dict:
    online = [m.payload for m in line.subscriber.of("/status") if m.payload["state"] == "online"]
    return online[-1] if online else {}


async def test_a_bad_device_file_costs_that_device(tmp_path: Path, mosquitto: str) -> None:
    """The others run; status, events and the log name the device, the file, the line and what is wrong."""
    async with running_line(tmp_path, mosquitto, root=EVERY_WINDOW) as line:
        line.gateway.terminate()
        (line.gateway.config / "devices" / "pump.yaml").write_text(
            "protocol: modbus\nurl: tcp://127.0.0.1:1\ntags: [{name: a, address: holding:0}]\nnonsense: 1\n"
        )
        line.gateway.start()
        await until(lambda: "pump" in status_of(line).get("devices", {}), 30, line.gateway.log)
        await line.more_windows(2)
        status = status_of(line)
        assert status["devices"]["pump"]["state"] == "down"
        assert "pump.yaml:4: nonsense" in status["devices"]["pump"]["reason"]
        assert set(status["configuration"]["refused"]) == {"pump"}
        events = [m.payload for m in line.subscriber.of("/test/event") if m.payload["kind"] == "configuration_refused"]
        assert [(event["name"], event["runs"]) for event in events] == [("pump", "nothing")]
        assert "pump.yaml:4: nonsense" in line.gateway.log()
        assert line.gateway.terminate() == 0


async def test_a_bad_gateway_yaml_refuses_where_nothing_ran(tmp_path: Path, mosquitto: str) -> None:
    async with running_line(tmp_path, mosquitto, root=EVERY_WINDOW) as line:
        line.gateway.terminate()
        (line.gateway.config / "gateway.yaml").write_text("nonsense: 1\n")
        line.gateway.start()
        assert line.gateway.process is not None
        assert line.gateway.process.wait(30) == 2


async def test_an_alarm_that_is_active_at_a_stop_is_said_again_and_ends(tmp_path: Path, mosquitto: str) -> None:
    """Without a value, since none is known; the tag is then read as before."""
    async with running_line(tmp_path, mosquitto, root=EVERY_WINDOW) as line:

        def alarms() -> list[dict]:
            return [m.payload for m in line.subscriber.of("/press/event") if m.payload["kind"] == "alarm"]

        tags = line.gateway.config / "tags" / "press.csv"
        line.gateway.terminate()
        tags.write_text("name,address,type,hi\nt1,holding:2,uint16,1\n")
        line.gateway.start()
        await until(lambda: len(alarms()) == 1, 30, line.gateway.log)
        await line.more_windows(2)
        assert line.gateway.terminate() == 0
        line.gateway.start()
        await until(lambda: len(alarms()) == 2, 30, line.gateway.log)
        first, again = alarms()
        assert (first["state"], first["value"], again["state"], again["value"]) == ("active", 2.0, "active", None)
        assert again["boot"] > first["boot"]
        await line.more_windows(3)
        assert len(alarms()) == 2

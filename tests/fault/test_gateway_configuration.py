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

"""Security-relevant events of the whole gateway: on the real broker, and in the journal under a logger of their own."""

import asyncio
import re
from pathlib import Path

from asyncua import ua
from typer.testing import CliRunner

from gateway.cli.main import app
from tests.support.gateway import GatewayProcess, Subscriber, write_config
from tests.support.mosquitto import Mosquitto
from tests.support.network import until
from tests.support.opcua_secure import KEY, SecureServer

POLICY = ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt


async def test_refused_certificates_and_changes_of_trust_and_configuration_are_published_and_logged(
    tmp_path: Path, mosquitto: str, port: int
) -> None:
    for folder in ("broker", "server"):
        (tmp_path / folder).mkdir()
    broker = Mosquitto(mosquitto, tmp_path / "broker")
    await broker.start()
    pki = tmp_path / "pki"
    device = f"protocol: opcua\nurl: opc.tcp://127.0.0.1:{port}\npki: {pki}\ntags: [{{name: a, node: i=2258}}]\n"
    config = write_config(tmp_path, broker.url, [], files={"line.yaml": device})
    subscriber = await asyncio.to_thread(lambda: Subscriber(broker.port).wait_ready())
    gateway = GatewayProcess(config)

    def found(what: str) -> list[dict[str, object]]:
        events = (one.payload for one in subscriber.of("/event"))
        return [one for one in events if one["kind"] == "security" and one["what"] == what]

    try:
        async with SecureServer(port, tmp_path / "server", [POLICY], key=KEY) as server:
            gateway.start()
            await until(lambda: found("certificate_refused"), 60)
            refused = found("certificate_refused")[0]
            assert (refused["source"], refused["result"], refused["device"]) == ("line", "refused", "line")
            assert server.fingerprint in str(refused["reason"])
            assert not found("trust_changed"), "a first start is no change"
            trust = ["cert", "trust", server.fingerprint, "--pki", str(pki)]
            assert (await asyncio.to_thread(CliRunner().invoke, app, trust)).exit_code == 0
            await until(lambda: found("trust_changed"), 60)
            trusted = found("trust_changed")[0]
            place = pki / "trusted" / "certs" / f"{server.fingerprint}.der"
            assert (trusted["source"], trusted["result"]) == (str(place), "accepted")
            assert server.fingerprint in str(trusted["reason"])
            assert await asyncio.to_thread(gateway.terminate) == 0
            (config / "devices" / "line.yaml").write_text(device + "interval: 500ms\n")
            gateway.start()
            await until(lambda: found("configuration_changed"), 60)
            assert found("configuration_changed")[0]["source"] == str(config)
            assert await asyncio.to_thread(gateway.terminate) == 0
            (config / "devices" / "line.yaml").write_text("protocol: opcua\nurll: x\n")
            gateway.start()
            assert gateway.process is not None
            assert await asyncio.to_thread(gateway.process.wait, 60) == 2
    finally:
        gateway.kill()
        await asyncio.to_thread(subscriber.close)
        broker.stop()
    lines = [line for line in gateway.log().splitlines() if "logger=gateway.security" in line]
    matters = [match[0] for line in lines if (match := re.search(r"(?<=event=)\w+", line))]
    assert matters == ["certificate_refused", "trust_changed", "configuration_changed", "configuration_changed"]
    shape = re.compile(r"timestamp=\S+Z level=\w+ logger=\S+ event=\w+ .*source=.* result=\w+")
    assert all(shape.match(line) and " reason=" in line for line in lines), lines
    assert "result=refused" in lines[-1]

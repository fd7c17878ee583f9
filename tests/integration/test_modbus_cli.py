"""`gateway plan` and `gateway read` as a person calls them."""

import asyncio
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.gateway import Modbus, write_config
from tests.support.modbus_server import Ask, ScriptedServer, obedient, silent
from tests.support.network import free_port


@pytest.fixture
def other_port() -> int:
    return free_port()


async def gateway(*words: str) -> tuple[int, str]:
    """Exit code and everything printed."""
    import asyncio

    command = [sys.executable, "-m", "gateway", *words]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={"COLUMNS": "160", "PATH": "", "TERM": "dumb"}
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out.decode()


async def test_a_url_shows_words_and_every_decoding(port: int) -> None:
    async with ScriptedServer(port) as server:
        code, text = await gateway(
            "read", f"tcp://127.0.0.1:{port}", "--unit", "7", "--address", "holding:16800", "--count", "2"
        )
    assert code == 0
    assert (server.asks[0].unit, server.asks[0].start, server.asks[0].count) == (7, 16800, 2)
    assert "0x41A0" in text
    assert "20.032045" in text  # 16 x (1 + 0x2041A1 / 2^23), the float32 of the bytes 41 A0 41 A1
    assert str(0x41A141A0) in text


async def test_who_could_not_ask_does_not_say_that_no_unit_answered(port: int) -> None:
    code, text = await gateway("scan", f"tcp://127.0.0.1:{port}", "--last", "2")
    assert code == 1
    assert "refused" in text
    assert "no unit answered" not in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["read", "192.168.0.10"], "an address is written tcp://192.168.0.10"),
        (["browse", "192.168.0.11:4840"], "an address is written opc.tcp://192.168.0.11:4840"),
        (["discover", "192.168.0.11"], "url: '192.168.0.11' is not an OPC UA address; expected opc.tcp://HOST"),
    ],
)
async def test_an_address_without_its_scheme_is_told_how_it_is_written(words: list[str], said: str) -> None:
    code, text = await gateway(*words, *(["--config", "config"] if words[0] != "discover" else []))
    assert code == 2
    assert said in text


async def test_all_decodings_fit_a_usual_terminal_and_the_unlikely_stand_apart(port: int) -> None:
    async with ScriptedServer(port):
        code, text = await gateway("read", f"tcp://127.0.0.1:{port}", "--address", "holding:16800", "--count", "4")
    assert code == 0
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    (row,) = [line.split() for line in lines if line.startswith("float32")]
    assert row == ["float32", "20.032045", "20.157043", "(-1.640109e-19)", "(-6.560304e-19)"]
    assert "in parentheses: numbers that are hardly meant" in text


async def test_bits_and_classic_addresses(port: int) -> None:
    async with ScriptedServer(port) as server:
        code, text = await gateway("read", f"tcp://127.0.0.1:{port}", "--address", "00005", "--count", "3")
    assert code == 0
    assert (server.asks[0].function, server.asks[0].start) == (1, 4)
    assert "coil:4" in text
    assert "0 1 0" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--address", "holding:65535"], "up to address 65535"),
        (["--address", "nowhere:1"], "such as holding:100"),
        (["--count", "126"], "expected 1 to 125"),
    ],
)
async def test_an_impossible_question_is_refused(words: list[str], said: str) -> None:
    code, text = await gateway("read", "tcp://127.0.0.1:1", *words)
    assert code == 2
    assert said in text


async def test_a_silent_device_and_a_refusal_say_so(port: int) -> None:
    async with ScriptedServer(port, silent) as server:
        code, text = await gateway("read", f"tcp://127.0.0.1:{port}", "--timeout", "0.1")
        assert (code, "no reply within 0.1 s" in text) == (1, True)

        async def refuse(ask: Ask, writer: object) -> None:
            writer.write(ask.exception(2))  # type: ignore[attr-defined]

        server.script = refuse
        code, text = await gateway("read", f"tcp://127.0.0.1:{port}")
        assert (code, "illegal data address" in text) == (1, True)


async def test_tags_are_read_as_configured(tmp_path: Path, port: int) -> None:
    config = write_config(tmp_path, "mqtt://127.0.0.1:1", [Modbus("press", f"tcp://127.0.0.1:{port}", 3)])
    async with ScriptedServer(port):
        code, text = await gateway("read", "press", "t1", "--config", str(config))
        assert code == 0, text
        assert "holding:2" in text
        assert "t2" not in text
    code, text = await gateway("read", "press", "t9", "--config", str(config))
    assert (code, "has no tag t9" in text) == (2, True)
    code, text = await gateway("read", "pres", "--config", str(config))
    assert (code, "there are: press" in text) == (2, True)


async def test_tags_are_read_in_the_requests_of_a_run_and_one_by_one_where_these_fail(tmp_path: Path, port: int) -> None:
    """Before, each tag had a request of its own, so that `read` said good where `run` said bad."""
    config = write_config(tmp_path, "mqtt://127.0.0.1:1", [Modbus("press", f"tcp://127.0.0.1:{port}", 3)])
    async with ScriptedServer(port) as server:
        code, text = await gateway("read", "press", "--config", str(config))
        assert (code, text.count("good")) == (0, 3)
        assert [(ask.start, ask.count) for ask in server.asks] == [(0, 6)]

        async def only_pairs(ask: Ask, writer: object) -> None:
            writer.write(ask.exception(3) if ask.count > 2 else ask.good())  # type: ignore[attr-defined]

        server.script = only_pairs
        code, text = await gateway("read", "press", "--config", str(config))
    assert (code, text.count("good")) == (0, 3)
    assert "holding:0..5 in one request, as gateway run asks: exception 3, illegal data value; its 3 tags one by one" in text


async def test_a_connection_that_ends_does_not_drop_what_was_read(tmp_path: Path, port: int) -> None:
    config = write_config(
        tmp_path, "mqtt://127.0.0.1:1", [Modbus("press", f"tcp://127.0.0.1:{port}", 3, extra="max_gap: 0")]
    )
    rows = "t0,holding:0,float32\nt1,holding:100,float32\nt2,holding:200,float32\n"
    (config / "tags" / "press.csv").write_text("name,address,type\n" + rows)

    async def closes(ask: Ask, writer: asyncio.StreamWriter) -> None:
        if ask.start == 100:
            writer.close()
        else:
            writer.write(ask.good())

    async with ScriptedServer(port, closes):
        code, text = await gateway("read", "press", "--config", str(config))
    assert (code, text.count("good")) == (1, 2)
    assert "the connection was lost" in text


async def test_a_scan_says_what_came_where_no_unit_answered(port: int) -> None:
    async def another_protocol(ask: Ask, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HELLO\r\n")

    async with ScriptedServer(port, another_protocol):
        words = ["--last", "2", "--per-second", "1000", "--timeout", "0.05"]
        code, text = await gateway("scan", f"tcp://127.0.0.1:{port}", *words)
    assert code == 1
    assert "no unit answered" in text
    assert "unit 1: no reply within 0.05 s, but 7 bytes that are no reply to it: 48 45 4c 4c 4f 0d 0a" in text


async def test_a_scan_shows_what_a_unit_says_of_itself(tmp_path: Path, port: int) -> None:
    """In two replies, as some devices split it; an escape sequence in a name does not reach the terminal."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            while True:
                head = await reader.readexactly(7)
                pdu = await reader.readexactly(int.from_bytes(head[4:6], "big") - 1)
                objects = {0: b"Acme\x1b[31m", 1: b"PM-5"}
                if pdu[0] == 43:
                    first = pdu[3]
                    text = objects[first]
                    reply = bytes((43, 14, 1, 1, 0 if first else 255, 0 if first else 1, 1, first, len(text))) + text
                else:
                    reply = bytes((pdu[0], 2, 0, 7)) if pdu[0] in (3, 4) else bytes((pdu[0] | 0x80, 1))
                writer.write(head[:4] + (len(reply) + 1).to_bytes(2, "big") + head[6:] + reply)

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    words = ["--last", "1", "--until", "0", "--per-second", "1000", "--timeout", "0.2"]
    code, text = await gateway("scan", f"tcp://127.0.0.1:{port}", *words)
    shown = await gateway("read", f"tcp://127.0.0.1:{port}", "--identify")
    config = write_config(tmp_path, "mqtt://127.0.0.1:1", [Modbus("press", f"tcp://127.0.0.1:{port}", 3)])
    of_device = await gateway("read", "press", "--identify", "--config", str(config))
    server.close()
    assert shown == of_device == (0, "unit 1 is vendor 'Acme\\x1b[31m', product 'PM-5'\n")
    assert code == 0, text
    assert "unit 1 answers: vendor 'Acme\\x1b[31m', product 'PM-5'" in text
    assert "\x1b" not in text


async def test_the_plan_shows_requests_and_warns_of_a_full_line(tmp_path: Path) -> None:
    config = write_config(tmp_path, "mqtt://127.0.0.1:1", [Modbus("press", "tcp://127.0.0.1:502", 100)])
    (config / "devices" / "meter.yaml").write_text(
        "protocol: modbus\nurl: rtu:///dev/ttyUSB0?baudrate=9600\ninterval: 100ms\ntag_file: press.csv\n"
    )
    code, text = await gateway("plan", "--config", str(config))
    assert code == 0, text
    assert "holding 0..123" in text
    assert "9600 baud" in text
    assert text.count("warning:") == 1


async def test_a_scan_finds_units_and_their_ranges(port: int) -> None:
    """Unit 3 has holding registers 10..20 and 40, and coils up to 70; nobody else is there."""
    there = {3: {10 + n for n in range(11)} | {40}, 1: set(range(71))}

    async def device(ask: Ask, writer: object) -> None:
        if ask.unit == 3:
            known = there.get(ask.function)
            places = set(range(ask.start, ask.start + ask.count))
            code = 1 if known is None else 0 if places <= known else 2
            writer.write(ask.exception(code) if code else ask.good())  # type: ignore[attr-defined]

    words = ["--first", "2", "--last", "4", "--until", "99", "--per-second", "1000", "--timeout", "0.1"]
    async with ScriptedServer(port, device):
        code, text = await gateway("scan", f"tcp://127.0.0.1:{port}", *words)
    assert code == 0, text
    assert "unit 3 answers" in text
    assert "holding: 10..20, 40" in text
    assert "coil: 0..70" in text
    assert "input: nothing" in text
    assert "unit 2 answers" not in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tcp://127.0.0.1:1", "--first", "5", "--last", "4"], "--first 5 is after --last 4"),
        (["rtu:///dev/ttyUSB0", "--last", "248"], "expected up to 247"),
        (["rtu:///dev/ttyUSB0", "--first", "0"], "greater than or equal to 1"),
        (["modbus://plc"], "expected tcp://host"),
    ],
)
async def test_an_impossible_scan_is_refused(words: list[str], said: str) -> None:
    code, text = await gateway("scan", *words)
    assert (code, said in text) == (2, True), text


async def test_a_scan_of_nobody_says_so(port: int) -> None:
    async with ScriptedServer(port, silent):
        words = ["--last", "2", "--per-second", "1000", "--timeout", "0.05"]
        code, text = await gateway("scan", f"tcp://127.0.0.1:{port}", *words)
    assert (code, "no unit answered" in text) == (1, True)


async def test_ctrl_c_ends_a_scan_with_what_was_found(port: int) -> None:
    import asyncio
    import signal

    async def only_first(ask: Ask, writer: object) -> None:
        if ask.unit == 1:
            writer.write(ask.good())  # type: ignore[attr-defined]

    async with ScriptedServer(port, only_first) as server:
        words = [sys.executable, "-m", "gateway", "scan", f"tcp://127.0.0.1:{port}", "--timeout", "3600"]
        process = await asyncio.create_subprocess_exec(*words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        async with asyncio.timeout(30):
            while len(server.asks) < 2:
                server.asked.clear()
                await server.asked.wait()
            process.send_signal(signal.SIGINT)
            out, _ = await process.communicate()
    assert process.returncode == 0
    assert "unit 1 answers" in out.decode()


async def test_an_address_without_a_scheme_is_understood_as_one() -> None:
    code, text = await gateway("read", "127.0.0.1:502", "--config", "/nowhere")
    assert code == 2
    assert "tcp://127.0.0.1:502" in text


def with_backup(tmp_path: Path, url: str, backup: str) -> list[str]:
    """The option for a configuration with a device `press` of two addresses."""
    devices = [Modbus("press", url, 2, unit=3, extra=f"backup: {backup}\ntimeout: 200ms")]
    return ["--config", str(write_config(tmp_path, "mqtt://127.0.0.1:1", devices))]


@pytest.mark.parametrize("first", ["refused", "silent", "answers"])
async def test_a_device_is_read_at_its_backup_where_nobody_answers_at_its_url(
    tmp_path: Path, port: int, other_port: int, first: str
) -> None:
    url, backup = f"tcp://127.0.0.1:{port}", f"tcp://127.0.0.1:{other_port}"
    config = with_backup(tmp_path, url, backup)
    async with (
        ScriptedServer(other_port) as second,
        ScriptedServer(port, silent if first == "silent" else obedient) as wanted,
    ):
        if first == "refused":
            await wanted.stop()
        code, text = await gateway("read", "press", *config)
    assert code == 0, text
    assert "good" in text
    if first == "answers":
        assert second.asks == []
        assert f"press: unit 3 at {url}" in text
    else:
        why = "connection refused" if first == "refused" else "no unit answers"
        assert f"{url}: {why}; asking the backup {backup}" in text
        assert f"press: unit 3 at {backup}" in text


async def test_a_device_that_answers_nowhere_is_told_with_both_addresses(tmp_path: Path, port: int, other_port: int) -> None:
    url, backup = f"tcp://127.0.0.1:{port}", f"tcp://127.0.0.1:{other_port}"
    code, text = await gateway("read", "press", *with_backup(tmp_path, url, backup))
    assert code == 1
    assert text.strip() == f"{url}: connection refused; {backup}: connection refused"


@pytest.mark.parametrize("first", ["refused", "silent"])
async def test_a_device_is_scanned_at_its_backup_where_nobody_answers_at_its_url(
    tmp_path: Path, port: int, other_port: int, first: str
) -> None:
    """Of a configured device the unit is its own."""
    config = with_backup(tmp_path, f"tcp://127.0.0.1:{port}", f"tcp://127.0.0.1:{other_port}")
    async with ScriptedServer(other_port) as second, ScriptedServer(port, silent) as wanted:
        if first == "refused":
            await wanted.stop()
        words = ["--until", "99", "--per-second", "1000", "--timeout", "0.1", *config]
        code, text = await gateway("scan", "press", *words)
    assert code == 0, text
    assert f"asking the backup tcp://127.0.0.1:{other_port}" in text
    assert "unit 3 answers" in text
    assert "holding: 0..99" in text
    assert f"gateway read tcp://127.0.0.1:{other_port} --unit 3" in text
    assert {ask.unit for ask in second.asks} == {3}
    assert ("no unit answered at" if first == "silent" else "connection refused") in text


@pytest.mark.parametrize(
    ("words", "said"),
    [(["nobody"], "there are: press, line"), (["line"], "line speaks opcua; expected a Modbus device")],
)
async def test_what_is_no_modbus_device_is_not_scanned(tmp_path: Path, words: list[str], said: str) -> None:
    line = "protocol: opcua\nurl: opc.tcp://127.0.0.1:1\ntags: [{name: a, node: i=85}]\n"
    config = with_backup(tmp_path, "tcp://127.0.0.1:1", "tcp://127.0.0.1:2")
    (Path(config[1]) / "devices" / "pressline.yaml").write_text("name: line\n" + line)
    code, text = await gateway("scan", *words, *config)
    assert (code, said in text) == (2, True), text


@pytest.mark.parametrize("words", [["read", "tcp://127.0.0.1:1"], ["scan", "tcp://127.0.0.1:1"], ["plan"]])
@pytest.mark.parametrize("number", ["inf", "1e300", "nan", "-1"])
async def test_times_without_end_are_refused(words: list[str], number: str) -> None:
    code, text = await gateway(*words, "--answer-ms" if words == ["plan"] else "--timeout", number)
    assert (code, "Invalid value" in text) == (2, True), text


async def test_nobody_at_a_udp_port_is_said_in_words() -> None:
    code, text = await gateway("read", "udp://127.0.0.1:1")
    assert (code, "127.0.0.1:1: connection refused" in text, "Errno" in text) == (1, True, False)

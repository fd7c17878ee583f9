"""The retained descriptions of tags: a whole gateway, a real broker, columns that count in them, and what is taken away."""

from pathlib import Path

from gateway.encoding.columns import rows_of
from tests.support.line import running_line
from tests.support.network import until

COLUMNS = "publish:\n  windows: all\n  format: columns\n"


async def test_a_device_says_what_its_tags_are_and_windows_leave_the_names_out(tmp_path: Path, mosquitto: str) -> None:
    """Once the broker has the description, windows count in its set; whoever has both, reads them."""
    async with running_line(tmp_path, mosquitto, root=COLUMNS, tags=3) as line:
        windows = lambda: [m.payload for m in line.subscriber.of("/window")]  # noqa: E731
        await until(lambda: any("names" not in window for window in windows()), 20, "windows without names")
        (description,) = [m.payload for m in line.subscriber.of("/tags")]
        names = [tag["name"] for tag in description["tags"]]
        assert len(names) == 3
        assert all(tag["type"] for tag in description["tags"])
        for window in windows():
            assert list(rows_of(window, {description["set"]: names})["tags"]) == names

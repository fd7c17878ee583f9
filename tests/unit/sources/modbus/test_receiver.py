"""Replies that come while the process stands still."""

from gateway.core.loop_watch import LoopWatch, elapsed_ns
from gateway.sources.modbus.framing import Wanted
from gateway.sources.modbus.framing_mbap import Mbap
from gateway.sources.modbus.receiver import Receiver
from gateway.sources.modbus.strays import Strays

WANTED = Wanted(1, 1, 3, 4)
REPLY = bytes.fromhex("0001 0000 0007 01 03 04 0000 0007")
S = 10**9


class Bench:
    """A receiver on a loop that ticked `stood_s` ago for the last time; one request waits."""

    def __init__(self, stood_s: float) -> None:
        self.now_ns = elapsed_ns()
        watch = LoopWatch(lambda: self.now_ns)
        watch.tick()
        watch.tick()
        self.now_ns += round(stood_s * S)
        self.receiver = Receiver(Mbap(), Strays(has_transactions=True), "device", watch)
        self.future = self.receiver.expect(WANTED, b"\x03\0\0\0\2", b"")


async def test_a_timeout_that_expires_in_a_stand_still_waits_for_what_may_be_there() -> None:
    bench = Bench(stood_s=1.5)
    bench.receiver.expire(WANTED, 1.0)
    assert not bench.future.done()
    bench.receiver.data_received(REPLY)
    assert bench.future.result()[0] == REPLY[7:]


async def test_a_timeout_expires_while_the_loop_turns() -> None:
    bench = Bench(stood_s=0.0)
    bench.receiver.expire(WANTED, 1.0)
    assert "no reply within 1 s" in str(bench.future.exception())

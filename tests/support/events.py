"""Events with defaults for what a test does not care about."""

from gateway.core.events.process import LimitAlarm
from tests.support.blocks import T0


def limit_alarm(time_ns: int = T0, device: int = 0, tag: int = 0, **fields: object) -> LimitAlarm:
    """Return an alarm of a limit: tag 0 above 0.5."""
    common = {"state": "active", "condition": "hi", "severity": 500, "value": 1.0, "limit": 0.5}
    return LimitAlarm(time_ns=time_ns, device=device, tag=tag, **(common | fields))

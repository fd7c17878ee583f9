"""Device identification: MODBUS Application Protocol 1.1b3, 6.21 (function 43, MEI type 14)."""

from typing import Final

from gateway.core.errors import GatewayError
from gateway.core.ports.device_tools import Options
from gateway.core.report import Note, Report, Styled
from gateway.sources.modbus.client import ModbusLink
from gateway.sources.modbus.config import ModbusDevice
from gateway.sources.modbus.tools.request import connect_timeout_s

_FUNCTION: Final = 43
_MEI_TYPE: Final = 14
_BASIC: Final = 1
_NAMES: Final = {0: "vendor", 1: "product", 2: "revision"}
_MOST_REQUESTS: Final = 4
_HEAD: Final = 7  # function, MEI type, code, conformity, more follows, next object, number of objects


async def identify_unit(where: str | ModbusDevice, options: Options) -> Report:
    """Return what the unit of a URL or of a device says of itself, asked at its first address. Raises NotConnected."""
    device = where
    if isinstance(device, str):
        device = ModbusDevice.model_validate({"name": "read", "url": device, "unit": options["unit"]})
    timeout_s = options["timeout"] or device.timeout / 1e9
    link = ModbusLink(device.endpoints[0])
    await link.open(connect_timeout_s(timeout_s))
    try:
        name = await identify(link, device.unit, timeout_s)
    finally:
        link.close()
    if not name:
        return Report([Note(Styled(f"unit {device.unit} does not say what it is", "warning"))], is_complete=False)
    return Report([("unit ", str(device.unit), " is ", Styled(name, "strong"))])


async def identify(link: ModbusLink, unit: int, timeout_s: float) -> str:
    """Return vendor, product code and revision as the unit names them, "" where it does not.

    Asked only where replies have a header with their length. Never raises GatewayError.
    """
    found: dict[int, str] = {}
    first = 0
    try:
        for _ in range(_MOST_REQUESTS):
            pdu = await link.ask(unit, bytes((_FUNCTION, _MEI_TYPE, _BASIC, first)), timeout_s)
            if len(pdu) < _HEAD or pdu[:2] != bytes((_FUNCTION, _MEI_TYPE)):
                break
            found |= _objects(pdu)
            more, first = pdu[4], pdu[5]
            if more != 0xFF:
                break
    except GatewayError:
        pass
    return ", ".join(f"{name} {found[number]!r}" for number, name in _NAMES.items() if found.get(number))


def _objects(pdu: bytes) -> dict[int, str]:
    """Return the objects of a reply by number; what its lengths do not hold is left out."""
    found: dict[int, str] = {}
    at = _HEAD
    for _ in range(pdu[_HEAD - 1]):
        if at + 2 > len(pdu) or at + 2 + pdu[at + 1] > len(pdu):
            break
        found[pdu[at]] = pdu[at + 2 : at + 2 + pdu[at + 1]].decode("latin-1").strip("\0 ")
        at += 2 + pdu[at + 1]
    return found

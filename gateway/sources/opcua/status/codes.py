"""OPC UA status codes: names for people, and the nearest `Quality`.

Codes: OPC UA Part 4, 7.39.2 and Part 6, A.2. The quality of data values follows the table that maps OPC DA quality to
status codes in Part 8, A.4.3.2, read backwards. Only the top 16 bits say what happened; the rest are limits and information.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.core.blocks import Qualities
from gateway.core.quality import Quality as Q
from gateway.sources.opcua.status.names import OTHER_NAMES

_KNOWN: Final[dict[int, tuple[str, Q]]] = {
    0x0000: ("Good", Q.GOOD),
    0x0096: ("GoodLocalOverride", Q.GOOD_LOCAL_OVERRIDE),
    0x4000: ("Uncertain", Q.UNCERTAIN),
    0x408F: ("UncertainNoCommunicationLastUsableValue", Q.UNCERTAIN_LAST_USABLE),
    0x4090: ("UncertainLastUsableValue", Q.UNCERTAIN_LAST_USABLE),
    0x4091: ("UncertainSubstituteValue", Q.UNCERTAIN),
    0x4092: ("UncertainInitialValue", Q.UNCERTAIN),
    0x4093: ("UncertainSensorNotAccurate", Q.UNCERTAIN_SENSOR),
    0x4094: ("UncertainEngineeringUnitsExceeded", Q.UNCERTAIN_RANGE),
    0x4095: ("UncertainSubNormal", Q.UNCERTAIN_SUBNORMAL),
    0x40A4: ("UncertainDataSubNormal", Q.UNCERTAIN_SUBNORMAL),
    0x4208: ("UncertainTransducerInManual", Q.UNCERTAIN_SENSOR),
    0x4209: ("UncertainSimulatedValue", Q.UNCERTAIN),
    0x420A: ("UncertainSensorCalibration", Q.UNCERTAIN_SENSOR),
    0x420F: ("UncertainConfigurationError", Q.UNCERTAIN),
    0x8000: ("Bad", Q.BAD),
    0x8001: ("BadUnexpectedError", Q.BAD),
    0x8002: ("BadInternalError", Q.BAD),
    0x8003: ("BadOutOfMemory", Q.BAD_DEVICE_FAILURE),
    0x8004: ("BadResourceUnavailable", Q.BAD_DEVICE_FAILURE),
    0x8005: ("BadCommunicationError", Q.BAD_COMM_FAILURE),
    0x8006: ("BadEncodingError", Q.BAD),
    0x8007: ("BadDecodingError", Q.BAD),
    0x8008: ("BadEncodingLimitsExceeded", Q.BAD_CONFIG),
    0x800A: ("BadTimeout", Q.BAD_TIMEOUT),
    0x800B: ("BadServiceUnsupported", Q.BAD_CONFIG),
    0x800C: ("BadShutdown", Q.BAD_OUT_OF_SERVICE),
    0x800D: ("BadServerNotConnected", Q.BAD_NOT_CONNECTED),
    0x800E: ("BadServerHalted", Q.BAD_OUT_OF_SERVICE),
    0x8010: ("BadTooManyOperations", Q.BAD_CONFIG),
    0x8012: ("BadCertificateInvalid", Q.BAD_CONFIG),
    0x8013: ("BadSecurityChecksFailed", Q.BAD_CONFIG),
    0x8014: ("BadCertificateTimeInvalid", Q.BAD_CONFIG),
    0x8015: ("BadCertificateIssuerTimeInvalid", Q.BAD_CONFIG),
    0x8016: ("BadCertificateHostNameInvalid", Q.BAD_CONFIG),
    0x8017: ("BadCertificateUriInvalid", Q.BAD_CONFIG),
    0x8018: ("BadCertificateUseNotAllowed", Q.BAD_CONFIG),
    0x8019: ("BadCertificateIssuerUseNotAllowed", Q.BAD_CONFIG),
    0x801A: ("BadCertificateUntrusted", Q.BAD_CONFIG),
    0x801B: ("BadCertificateRevocationUnknown", Q.BAD_CONFIG),
    0x801C: ("BadCertificateIssuerRevocationUnknown", Q.BAD_CONFIG),
    0x801D: ("BadCertificateRevoked", Q.BAD_CONFIG),
    0x801E: ("BadCertificateIssuerRevoked", Q.BAD_CONFIG),
    0x801F: ("BadUserAccessDenied", Q.BAD_CONFIG),
    0x8020: ("BadIdentityTokenInvalid", Q.BAD_CONFIG),
    0x8021: ("BadIdentityTokenRejected", Q.BAD_CONFIG),
    0x8022: ("BadSecureChannelIdInvalid", Q.BAD_NOT_CONNECTED),
    0x8025: ("BadSessionIdInvalid", Q.BAD_NOT_CONNECTED),
    0x8026: ("BadSessionClosed", Q.BAD_NOT_CONNECTED),
    0x8027: ("BadSessionNotActivated", Q.BAD_NOT_CONNECTED),
    0x8028: ("BadSubscriptionIdInvalid", Q.BAD_NOT_CONNECTED),
    0x8031: ("BadNoCommunication", Q.BAD_COMM_FAILURE),
    0x8032: ("BadWaitingForInitialData", Q.BAD_WAITING),
    0x8033: ("BadNodeIdInvalid", Q.BAD_ADDRESS),
    0x8034: ("BadNodeIdUnknown", Q.BAD_ADDRESS),
    0x8035: ("BadAttributeIdInvalid", Q.BAD_ADDRESS),
    0x8036: ("BadIndexRangeInvalid", Q.BAD_ADDRESS),
    0x8037: ("BadIndexRangeNoData", Q.BAD_ADDRESS),
    0x803A: ("BadNotReadable", Q.BAD_CONFIG),
    0x803C: ("BadOutOfRange", Q.BAD),
    0x803D: ("BadNotSupported", Q.BAD_CONFIG),
    0x803E: ("BadNotFound", Q.BAD_ADDRESS),
    0x8040: ("BadNotImplemented", Q.BAD_CONFIG),
    0x8041: ("BadMonitoringModeInvalid", Q.BAD_CONFIG),
    0x8042: ("BadMonitoredItemIdInvalid", Q.BAD_CONFIG),
    0x8043: ("BadMonitoredItemFilterInvalid", Q.BAD_CONFIG),
    0x8044: ("BadMonitoredItemFilterUnsupported", Q.BAD_CONFIG),
    0x8045: ("BadFilterNotAllowed", Q.BAD_CONFIG),
    0x804A: ("BadContinuationPointInvalid", Q.BAD),
    0x804B: ("BadNoContinuationPoints", Q.BAD),
    0x8054: ("BadSecurityModeRejected", Q.BAD_CONFIG),
    0x8055: ("BadSecurityPolicyRejected", Q.BAD_CONFIG),
    0x8056: ("BadTooManySessions", Q.BAD_NOT_CONNECTED),
    0x8057: ("BadUserSignatureInvalid", Q.BAD_CONFIG),
    0x8058: ("BadApplicationSignatureInvalid", Q.BAD_CONFIG),
    0x8060: ("BadBrowseNameInvalid", Q.BAD_ADDRESS),
    0x806D: ("BadTooManyMatches", Q.BAD_ADDRESS),
    0x806F: ("BadNoMatch", Q.BAD_ADDRESS),
    0x8071: ("BadHistoryOperationInvalid", Q.BAD_CONFIG),
    0x8072: ("BadHistoryOperationUnsupported", Q.BAD_CONFIG),
    0x8077: ("BadTooManySubscriptions", Q.BAD_CONFIG),
    0x8078: ("BadTooManyPublishRequests", Q.BAD),
    0x8079: ("BadNoSubscription", Q.BAD_NOT_CONNECTED),
    0x807D: ("BadTcpServerTooBusy", Q.BAD_NOT_CONNECTED),
    0x807E: ("BadTcpMessageTypeInvalid", Q.BAD_NOT_CONNECTED),
    0x807F: ("BadTcpSecureChannelUnknown", Q.BAD_NOT_CONNECTED),
    0x8080: ("BadTcpMessageTooLarge", Q.BAD_CONFIG),
    0x8081: ("BadTcpNotEnoughResources", Q.BAD_NOT_CONNECTED),
    0x8082: ("BadTcpInternalError", Q.BAD_NOT_CONNECTED),
    0x8083: ("BadTcpEndpointUrlInvalid", Q.BAD_CONFIG),
    0x8084: ("BadRequestInterrupted", Q.BAD_NOT_CONNECTED),
    0x8085: ("BadRequestTimeout", Q.BAD_TIMEOUT),
    0x8086: ("BadSecureChannelClosed", Q.BAD_NOT_CONNECTED),
    0x8087: ("BadSecureChannelTokenUnknown", Q.BAD_NOT_CONNECTED),
    0x8089: ("BadConfigurationError", Q.BAD_CONFIG),
    0x808A: ("BadNotConnected", Q.BAD_NOT_CONNECTED),
    0x808B: ("BadDeviceFailure", Q.BAD_DEVICE_FAILURE),
    0x808C: ("BadSensorFailure", Q.BAD_SENSOR_FAILURE),
    0x808D: ("BadOutOfService", Q.BAD_OUT_OF_SERVICE),
    0x808E: ("BadDeadbandFilterInvalid", Q.BAD_CONFIG),
    0x809B: ("BadNoData", Q.BAD_NOT_AVAILABLE),
    0x809D: ("BadDataLost", Q.BAD_NOT_AVAILABLE),
    0x809E: ("BadDataUnavailable", Q.BAD_NOT_AVAILABLE),
    0x80AC: ("BadConnectionRejected", Q.BAD_NOT_CONNECTED),
    0x80AE: ("BadConnectionClosed", Q.BAD_NOT_CONNECTED),
    0x80B8: ("BadRequestTooLarge", Q.BAD_CONFIG),
    0x80B9: ("BadResponseTooLarge", Q.BAD_CONFIG),
    0x80DB: ("BadTooManyMonitoredItems", Q.BAD_CONFIG),
    0x80E6: ("BadSecurityModeInsufficient", Q.BAD_CONFIG),
    0x80EE: ("BadServerTooBusy", Q.BAD_TIMEOUT),
    0x810D: ("BadCertificateChainIncomplete", Q.BAD_CONFIG),
    0x810E: ("BadLicenseExpired", Q.BAD_CONFIG),
    0x810F: ("BadLicenseLimitsExceeded", Q.BAD_CONFIG),
}

SERVICE_UNSUPPORTED: Final = 0x800B0000
USER_ACCESS_DENIED: Final = 0x801F0000
NODE_UNKNOWN: Final = 0x80340000
RENAMED: Final = 0x80600000
"""Bad browse name: stands for a node that has another one than in the sessions before."""
FILTER_NOT_ALLOWED: Final = 0x80450000
TOO_MANY_ITEMS: Final = 0x80DB0000
CANNOT_SUBSCRIBE: Final = frozenset({SERVICE_UNSUPPORTED, 0x803D0000, 0x80400000, 0x80770000, TOO_MANY_ITEMS})
"""Service unsupported, not supported, not implemented, too many subscriptions or monitored items: reading may work."""

BAD_TIMEOUT: Final = 0x800A0000
HISTORY_UNSUPPORTED: Final = 0x80720000
NO_CONTINUATION_POINTS: Final = 0x804B0000
NO_DATA: Final = frozenset({0x809B0000, 0x80D70000})
"""No data, bound not found: what servers say of a node of which nothing was recorded in a time."""

TOO_MANY_OPERATIONS: Final = 0x80100000
RESPONSE_TOO_LARGE: Final = 0x80B90000
TOO_MUCH: Final = frozenset({TOO_MANY_OPERATIONS, 0x80080000, 0x80B80000, RESPONSE_TOO_LARGE, 0x80800000})
"""Faults of a service call that a smaller call may not have: too many operations, encoding limits, message too large."""

COMMUNICATION_ERROR: Final = 0x80050000
BAD_DECODING: Final = 0x80070000
POISONED: Final = frozenset({0x80000000, 0x80010000, 0x80020000, 0x80030000, 0x80040000, 0x80060000, BAD_DECODING})
"""Faults of a service call that a single one of its nodes may have caused: bad, unexpected or internal error, out of memory
or resources, encoding; decoding stands for an answer that we cannot read."""

GONE: Final = frozenset(
    code << 16
    for code in (
        *(0x8005, 0x800C, 0x800D, 0x800E, 0x8013),  # communication, shutdown, not connected, halted, security checks
        *(0x8022, 0x8086, 0x8087, 0x807F),  # secure channel: id, closed, token, unknown to TCP
        *(0x8025, 0x8026, 0x8027),  # session: id, closed, not activated
        *(0x8028, 0x8079),  # subscription: id, none
        0x80AE,  # connection closed
    )
)
"""Faults after which nothing on this session can work again."""

_CLASSES: Final = (Q.GOOD, Q.UNCERTAIN, Q.BAD, Q.BAD)
_OVERFLOW: Final = np.uint32(0x0480)
_SEMANTICS_CHANGED: Final = np.uint32(0x4000)


def status_name(status: int) -> str:
    """Return the standard's symbol of a status code, or its number in hexadecimal where the standard has none."""
    known = _KNOWN.get(status >> 16)
    return known[0] if known else OTHER_NAMES.get(status >> 16, f"{status:#010x}")


def quality_of(status: int) -> Q:
    """Return the nearest quality of one status code; the reserved severity 11 counts as bad."""
    known = _KNOWN.get(status >> 16)
    return known[1] if known else _CLASSES[status >> 30]


def qualities_of(status: NDArray[np.uint32]) -> Qualities:
    """`quality_of` for a column: uint32[n] to uint8[n]."""
    codes = status >> np.uint32(16)
    if not codes.any():
        return np.full(status.size, Q.GOOD, np.uint8)
    found, where = np.unique(codes, return_inverse=True)
    return np.array([quality_of(int(code) << 16) for code in found], np.uint8)[where]


def is_good(status: int) -> bool:
    """Severity 00."""
    return status >> 30 == 0


def is_bad(status: int) -> bool:
    """Severity 10, or the reserved 11: there is no value."""
    return status >> 31 == 1


def overflown(status: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Which of these values follow a gap, because the server's queue for the node was full (Part 4, 7.39.1)."""
    has_bit: NDArray[np.bool_] = (status & _OVERFLOW) == _OVERFLOW
    return has_bit


def count_overflows(status: NDArray[np.uint32]) -> int:
    """How many they are."""
    return int(np.count_nonzero(overflown(status)))


def has_new_meaning(status: NDArray[np.uint32]) -> bool:
    """One of these values is the first since its node has another unit or range (SemanticsChanged, Part 4, 7.39.1)."""
    return bool((status & _SEMANTICS_CHANGED).any())


def node_faults(quality: Qualities) -> NDArray[np.bool_]:
    """Which qualities blame the node's address or configuration rather than its value."""
    blamed: NDArray[np.bool_] = (quality == Q.BAD_ADDRESS) | (quality == Q.BAD_CONFIG)
    return blamed

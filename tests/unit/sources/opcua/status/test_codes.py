"""Status codes: the table against the library's, and qualities."""

import numpy as np
import pytest
from asyncua.ua.status_codes import StatusCodes

from gateway.core.quality import Quality
from gateway.sources.opcua.status import codes


def test_names_are_the_standards():
    for code, (name, _) in codes._KNOWN.items():
        assert getattr(StatusCodes, name) == code << 16


def test_classes_agree_with_the_severity():
    for code, (_, quality) in codes._KNOWN.items():
        assert quality >> 6 == {0: 3, 1: 1, 2: 0}[code >> 14]


def test_fault_sets_are_known_codes():
    names = {value for key, value in vars(StatusCodes).items() if key.startswith("Bad")}
    assert names >= codes.TOO_MUCH
    assert names >= codes.GONE


@pytest.mark.parametrize(
    ("code", "quality"),
    [
        (0x00000000, Quality.GOOD),
        (0x00300000, Quality.GOOD),
        (0x00000480, Quality.GOOD),
        (0x00960000, Quality.GOOD_LOCAL_OVERRIDE),
        (0x40900000, Quality.UNCERTAIN_LAST_USABLE),
        (0x41230000, Quality.UNCERTAIN),
        (0x808C0000, Quality.BAD_SENSOR_FAILURE),
        (0x808C0400, Quality.BAD_SENSOR_FAILURE),
        (0x80340000, Quality.BAD_ADDRESS),
        (0x8FFF0000, Quality.BAD),
        (0xC0000000, Quality.BAD),
    ],
)
def test_nearest_quality(code, quality):
    assert codes.quality_of(code) is quality
    assert codes.qualities_of(np.array([code, 0], np.uint32)).tolist() == [quality, Quality.GOOD]


def test_unknown_codes_have_a_number_for_a_name():
    assert codes.status_name(0x80340000) == "BadNodeIdUnknown"
    assert codes.status_name(0x80D50000) == "BadAggregateNotSupported"
    assert codes.status_name(0x8FFF0000) == "0x8fff0000"


def test_overflows_are_counted_by_the_information_bits():
    assert codes.count_overflows(np.array([0, 0x480, 0x40900480, 0x80, 0x400], np.uint32)) == 2

"""`gateway check` names the topics of every layout."""

import pytest

from gateway.cli.check import check_config
from tests.unit.settings.folders import ROOT, write

WANTED = {
    "publish: {format: cbor}": ["plant/v1/press-1/press/window (windows of 1 s, when something changes, cbor)"],
    "publish: {layout: tag, retain: true, topic: 'b/{device}/{tag}'}": [
        "plant/v1/press-1/status (retained)",
        "b/press/oil_temp and 1 more (windows of 1 s, when something changes; text and structures, retained)",
        "/event (at once), /summary (every minute)",
        "plant/v1/press-1/press/event (at once)",
    ],
    "publish: {layout: sparkplug, sparkplug: {host: scada}}": [
        "spBv1.0/plant/NBIRTH/press-1 (and NDATA with events and counters, NDEATH)",
        "spBv1.0/plant/DBIRTH/press-1/press (and DDATA, DDEATH)",
        "while spBv1.0/STATE/scada says online",
    ],
}


@pytest.mark.parametrize("publish", WANTED)
def test_the_topics_are_named(tmp_path, capsys, publish):
    assert check_config(write(tmp_path, {"gateway.yaml": f"{ROOT}{publish}\n"})) == 0
    text = " ".join(capsys.readouterr().out.split())
    for said in WANTED[publish]:
        assert said in text
    assert ("/v1/" in text) is ("sparkplug" not in publish)

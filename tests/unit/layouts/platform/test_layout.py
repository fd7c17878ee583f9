"""Layout platform: what each platform gets, and what is refused in its keys."""

from typing import Any

import orjson
import pytest

from gateway.core.messages import Message
from gateway.core.quality import Quality
from gateway.encoding.topics import Topics
from gateway.layouts.platform.layout import PlatformLayout
from gateway.layouts.platform.plugin import PlatformPlugin
from gateway.settings.publish_model import DevicePublish, Publish
from tests.support.blocks import table
from tests.support.events import limit_alarm
from tests.support.layout import scope_for
from tests.unit.encoding.test_encoder import block_of, encoder_for

TABLE = table(4, devices=2)
TOPICS = Topics.of("plant", "press-1", TABLE.devices)
ALL = 2**28


def scope(**platform: Any) -> Any:
    publish = Publish.model_validate({"layout": "platform", "platform": platform})
    return scope_for(publish, [DevicePublish()] * 2, TOPICS)


def layout(**platform: Any) -> PlatformLayout:
    return PlatformLayout(scope(**platform))


def window(last: list[float] | None = None) -> Message:
    return encoder_for(TABLE).windows(block_of([0, 1], last=last or [61.5, 0.5]))[0]


def payloads(made: PlatformLayout, message: Message, *, hist: bool = False, most_bytes: int = ALL) -> list[tuple[str, Any]]:
    return [(one.topic, orjson.loads(one.payload)) for one in made.packets(message, hist=hist, most_bytes=most_bytes)]


def test_thingsboard_has_a_device_for_each_of_ours() -> None:
    ((topic, body),) = payloads(layout(form="thingsboard"), window())
    assert topic == "v1/gateway/telemetry"
    values = {"tag0": 61.5, "tag0_q": "good", "tag1": 0.5, "tag1_q": "good"}
    assert body == {"device0": [{"ts": body["device0"][0]["ts"], "values": values}]}
    ((topic, body),) = payloads(layout(form="thingsboard"), encoder_for(TABLE).event(limit_alarm()))
    assert topic == "v1/gateway/telemetry"
    ((_, rows),) = body.items()
    assert rows[0]["values"]["event"]["kind"] == "alarm"
    ((_, body),) = payloads(layout(form="thingsboard"), encoder_for(TABLE).stats(None, {"sent": 1.0}, 10**18))
    assert body["press-1"][0]["values"]["stats"]["seq"] == 1


def test_azure_gets_the_contracts_messages_with_properties_in_the_topic() -> None:
    ((topic, body),) = payloads(layout(form="azure-iot-hub", id="hall2"), window())
    assert topic == "devices/hall2/messages/events/$.ct=application%2Fjson&$.ce=utf-8&device=device0&kind=window"
    assert body["tags"]["tag0"]["last"] == 61.5
    assert body["seq"] == 1
    ((topic, _),) = payloads(layout(form="azure-iot-hub", id="hall2"), encoder_for(TABLE).stats(None, {}, 10**18))
    assert topic.endswith("&device=&kind=stats")


def test_a_shadow_takes_only_the_newest_state() -> None:
    made = layout(form="aws-shadow", id="thing1", quality=False)
    ((topic, body),) = payloads(made, window())
    assert topic == "$aws/things/thing1/shadow/update"
    assert body == {"state": {"reported": {"device0": {"tag0": 61.5, "tag1": 0.5}}}}
    ((topic, body),) = payloads(made, window(), hist=True)
    assert topic == "plant/v1/press-1/device0/window"
    assert body["hist"] is True
    ((topic, _),) = payloads(made, encoder_for(TABLE).stats(None, {}, 10**18))
    assert topic == "plant/v1/press-1/stats"


def test_losant_knows_each_device_by_an_id_of_its_own() -> None:
    made = layout(form="losant", id="gw", ids={"device0": "5f1c"})
    ((topic, body),) = payloads(made, window())
    assert topic == "losant/5f1c/state"
    assert set(body) == {"time", "data"}
    ((topic, body),) = payloads(made, encoder_for(TABLE).stats(None, {"sent": 1.0}, 10**18))
    assert topic == "losant/gw/state"
    assert orjson.loads(body["data"]["stats"])["seq"] == 1


def test_templates_of_ones_own() -> None:
    made = layout(topic="acme/{device}", payload='{"at": $time, "from": "$gateway/$device", "d": $values}', quality=False)
    ((topic, body),) = payloads(made, window())
    assert topic == "acme/device0"
    assert body["from"] == "press-1/device0"
    assert body["d"] == {"tag0": 61.5, "tag1": 0.5}
    assert body["at"].endswith("+00:00")


def test_a_bad_value_is_null_and_says_so() -> None:
    bad = encoder_for(TABLE).windows(block_of([0, 1], last=[61.5, 0.5], quality=[Quality.BAD_TIMEOUT, Quality.GOOD]))[0]
    ((_, body),) = payloads(layout(form="losant", id="x"), bad)
    assert body["data"] == {"tag0": None, "tag0_q": "bad", "tag1": 0.5, "tag1_q": "good"}


def test_what_is_too_large_is_cut_between_tags() -> None:
    parts = payloads(layout(form="losant", id="x"), window(), most_bytes=80)
    assert [list(body["data"]) for _, body in parts] == [["tag0", "tag0_q"], ["tag1", "tag1_q"]]
    assert len({body["time"] for _, body in parts}) == 1


def test_there_is_nothing_beside_the_messages() -> None:
    made = layout()
    assert made.will() is None
    assert [*made.births(ALL), *made.changes(ALL), *made.death()] == []


@pytest.mark.parametrize(
    ("platform", "words"),
    [
        ({"topic": "a/+"}, "wildcard"),
        ({"topic": "a/{tag}"}, "{tag} is not known"),
        ({"topic": "a/{"}, "brace"),
        ({"topic": ""}, "is not a topic"),
        ({"payload": "{$values"}, "does not become JSON"),
        ({"payload": "$value"}, "value is not known"),
        ({"payload": "$"}, "is not a template"),
        ({"form": "ibm"}, "azure-iot-hub"),
    ],
)
def test_templates_that_make_no_sense_are_refused(platform: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Publish.model_validate({"layout": "platform", "platform": platform})


def test_the_check_names_what_is_missing_or_idle() -> None:
    plugin = PlatformPlugin()
    missing, shared = plugin.check(scope(form="losant"))
    assert (missing.key, missing.expected) == (("publish", "platform", "id"), "the device id, or thing, of the platform")
    assert shared.message == "'tag0' is a tag of device0 as well, and both would be one value on losant//state"
    assert list(plugin.check(scope(form="losant", id="a", ids={"device1": "b"}))) == []
    (fault,) = plugin.check(scope(ids={"prss": "1"}))
    assert fault.key == ("publish", "platform", "ids", "prss")
    publish = Publish.model_validate({"layout": "device", "platform": {"form": "thingsboard"}})
    (fault,) = plugin.check(scope_for(publish, [DevicePublish()] * 2, TOPICS))
    assert fault.message == "has no effect with another layout"

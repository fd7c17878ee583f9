"""Which topics `gateway tail` follows: all that a gateway publishes on, each of them once."""

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from gateway.cli.topic_filters import disjoint, filters_of, open_filters, template_filters
from gateway.encoding.topics import Topics
from gateway.layouts.tag.topics import TagTopics
from gateway.settings import load
from tests.unit.settings.folders import LINE, ROOT, write

LEVELS = ("a", "b", "c")
TOPICS = ["/".join(levels) for length in (1, 2, 3) for levels in product(LEVELS, repeat=length)]
FILTERS = st.lists(
    st.builds(
        lambda levels, end: "/".join([*levels, *end]),
        st.lists(st.sampled_from([*LEVELS, "+"]), min_size=1, max_size=3),
        st.sampled_from([[], ["#"]]),
    ),
    min_size=1,
    max_size=5,
)


def test_without_a_configuration_contract_and_sparkplug_are_followed():
    assert open_filters("plant") == ("plant/v1/#", "spBv1.0/#")


def test_a_template_is_a_filter_of_its_own():
    assert template_filters(["acme/berlin/hall2/{line}/{device}/x_{tag}"], "plant") == ("acme/berlin/hall2/+/+/+/#",)
    assert open_filters("acme", ["{root}/{gateway}/{device}/{tag}"]) == ("spBv1.0/#", "acme/+/#"), "acme/v1/# lies in it"


@pytest.mark.parametrize("template", ["a/{device}", "a/{tag}/{", "a//{tag}", "a/#/{tag}", ""])
def test_a_wrong_template_is_refused(template):
    with pytest.raises(ValueError, match=r"tag|brace|level|template|#"):
        template_filters([template], "plant")


LAYOUTS = {
    "": ("plant/v1/press-1/#",),
    "publish: {layout: tag}": ("plant/v1/press-1/#", "plant/press-1/line/+/#", "plant/press-1/press/+/#"),
    "publish: {layout: tag, topic: '{site}/{tag}/{device}', topic_fields: {site: b/h2}}": (
        "plant/v1/press-1/#", "b/h2/+/line/#", "b/h2/+/press/#",
    ),
    "publish: {layout: sparkplug}\nmqtt: {root: acme}": ("spBv1.0/acme/+/press-1/#",),
    "publish: {layout: sparkplug, sparkplug: {group: hall}}": ("spBv1.0/hall/+/press-1/#",),
}  # fmt: skip


@pytest.mark.parametrize("publish", LAYOUTS)
def test_a_configuration_says_where_its_gateway_publishes(tmp_path, publish):
    assert filters_of(load(write(tmp_path, {"gateway.yaml": f"{ROOT}{publish}\n"}))) == LAYOUTS[publish]


def test_every_topic_of_a_device_with_a_layout_of_its_own_is_followed(tmp_path: Path):
    own = LINE + "publish: {layout: tag, topic: 'line7/{tag}', format: cbor}\n"
    settings = load(write(tmp_path, {"devices/line.yaml": own}))
    filters = filters_of(settings)
    topics = Topics.of("plant", "press-1", settings.table.devices)
    number = settings.table.devices.index("line")
    tags = TagTopics.of(settings.publishing[number].over(settings.root.publish), topics, number)
    published = [topics.status, topics.event(None), topics.event(number), topics.window(1 - number)]
    for topic in (*published, tags.topic("speed"), tags.event("speed"), tags.summary("speed")):
        assert [topic_matches_sub(one, topic) for one in filters].count(True) == 1, topic


@given(FILTERS)
def test_disjoint_filters_match_all_of_it_and_each_topic_once(filters):
    made = disjoint(filters)
    for topic in TOPICS:
        matches = [topic_matches_sub(one, topic) for one in made].count(True)
        assert matches <= 1
        assert matches == 1 or not any(topic_matches_sub(one, topic) for one in filters)


@given(FILTERS)
def test_filters_that_are_apart_stay_as_they_are(filters):
    hits = [{topic for topic in TOPICS if topic_matches_sub(one, topic)} for one in filters]
    apart = all(a.isdisjoint(b) for at, a in enumerate(hits) for b in hits[:at])
    if apart:
        assert len(disjoint(filters)) == len(filters) or any(not hit for hit in hits)

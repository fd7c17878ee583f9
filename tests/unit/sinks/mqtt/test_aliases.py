"""Topic aliases against a broker that remembers them as the standard says."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.sinks.mqtt.aliases import TopicAliases


def send(aliases: TopicAliases, topic: str, *, arrives: bool = True) -> tuple[str, int]:
    sent = aliases.use(topic)
    if arrives and sent[1]:
        aliases.acknowledged(topic, sent[1])
    return sent


def test_a_topic_used_again_gets_an_alias_and_is_left_out_once_the_broker_knows_it() -> None:
    aliases = TopicAliases(10)
    assert send(aliases, "a") == ("a", 0)
    assert send(aliases, "a", arrives=False) == ("a", 1)
    assert send(aliases, "a") == ("a", 1), "the first one with the alias was refused: said again"
    assert send(aliases, "a") == ("", 1)
    assert send(aliases, "b") == ("b", 0)


def test_the_most_used_topics_get_what_there_is() -> None:
    aliases = TopicAliases(2)
    for topic in ("rare", "rarer", "rare", "rarer"):
        send(aliases, topic)
    for _ in range(100):
        send(aliases, "often")
    assert send(aliases, "often")[0] == ""
    assert [send(aliases, topic)[1] > 0 for topic in ("rare", "rarer")].count(False) == 1


def test_without_any_nothing_is_aliased() -> None:
    assert {send(TopicAliases(0), "a") for _ in range(100)} == {("a", 0)}


@given(st.integers(0, 4), st.lists(st.tuples(st.sampled_from("abcdefgh"), st.booleans()), max_size=300))
def test_a_broker_always_knows_which_topic_is_meant(most: int, messages: list[tuple[str, bool]]) -> None:
    aliases, known = TopicAliases(most), dict[int, str]()
    for topic, accepted in messages:
        sent, alias = aliases.use(topic)
        assert alias <= most
        if sent and alias and accepted:  # a broker may forget the alias of a message that it refuses
            known[alias] = sent
        assert (sent or known[alias]) == topic
        if accepted and alias:
            aliases.acknowledged(topic, alias)

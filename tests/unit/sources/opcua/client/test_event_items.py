"""Client handles of notifiers are not those of items."""

from gateway.sources.opcua.client.event_items import EVENT_HANDLES, without_event_items
from tests.support.opcua_fake import values


def test_a_value_of_a_notifier_is_none_of_an_item():
    """node-opcua sends the attribute EventNotifier of event items when a session is taken over."""
    columns = values([0, EVENT_HANDLES, 2], [5.0, 1.0, 7.0]).columns
    assert (without_event_items(columns).row.tolist(), without_event_items(columns).number.tolist()) == ([0, 2], [5.0, 7.0])
    only = values([0, 2], [5.0, 7.0]).columns
    assert without_event_items(only) is only

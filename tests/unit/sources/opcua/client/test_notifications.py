"""From notifications to what a connection hands on."""

from types import SimpleNamespace

import pytest

from gateway.core.errors import NotConnected
from gateway.sources.opcua.client.notifications import Notifications
from gateway.sources.opcua.client.publish_loop import Notification
from tests.support.opcua_fake import values


def notifications() -> Notifications:
    """Rows 0 to 2 are watched."""
    return Notifications(SimpleNamespace(knows=lambda row: row < 3), 0)


def test_each_part_of_a_notification_comes_in_its_order_and_what_was_lost_is_told_once():
    some = notifications()
    parts = [values([0], [1.0]).columns, values([1], [2.0]).columns]
    some.push(Notification(1, 5, False, 0, changes=parts, lost=4, again=True))
    first, second = some.pop(), some.pop()
    assert [(one.columns.row.tolist(), one.lost, one.again) for one in (first, second)] == [([0], 4, True), ([1], 0, True)]
    assert some.pop() is None


def test_a_keepalive_is_something_without_values():
    some = notifications()
    some.push(Notification(1, 5, True, 0))
    assert len(some.pop()) == 0


def test_the_end_of_a_subscription_is_told_after_what_came_with_it():
    some = notifications()
    some.push(Notification(1, 5, False, 0, changes=[values([2], [1.0]).columns], status=0x800A0000))
    assert len(some.pop()) == 1
    with pytest.raises(NotConnected, match="the server ended the subscription: BadTimeout"):
        some.pop()


def test_a_value_that_nobody_asked_for_is_no_value():
    with pytest.raises(NotConnected, match="client handle that it was never given"):
        notifications().push(Notification(1, 5, False, 0, changes=[values([3], [1.0]).columns]))

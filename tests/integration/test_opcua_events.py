"""Events and alarms of real servers."""

import pytest
from asyncua import ua

from tests.support.opcua_field import in_the_field
from tests.support.opcua_server import AsyncuaServer, NodeServer
from tests.support.proxy import Proxy

BASE_EVENT, ALARM = 2041, 2915


def told(field, kind):
    return [event for event in field.events if event.kind == kind]


async def test_events_of_asyncuas_server_by_severity_with_further_fields(port):
    async with AsyncuaServer(port, 1) as server:
        wanted = [{"severity": 100, "fields": ["SourceNode"]}]
        async with in_the_field(server.url, ["ns=2;s=v0"], events=wanted) as field:
            await field.until(lambda: bool(field.values[0]))
            emitter = await server.emitter(BASE_EVENT)
            for severity in (50, 300):
                emitter.event.Severity = severity
                await emitter.trigger(message=f"severity {severity}")
            await field.until(lambda: bool(told(field, "opcua_event")))
            (event,) = told(field, "opcua_event")
            assert event.message == "severity 300"
            assert (event.severity, event.source) == (300, "Server")
            assert event.fields == {"SourceNode": "i=2253"}
            await server.write(0, 4.0)
            await field.until(lambda: field.values[0][-1] == 4.0)
            assert [state.state for state in field.states] == ["ok"]


@pytest.mark.parametrize("before", [(), ("urn:gateway:first",)])
async def test_types_have_names_and_fields_are_found_by_their_namespace(port, before):
    """Whatever number the server gives the namespace today."""
    server = AsyncuaServer(port, 1)
    server.namespaces_before = before
    index = 2 + len(before)
    fields = ["{urn:gateway:test}Batch", "nsu=urn:gateway:test;Batch", f"{index}:Batch", "{urn:nowhere}Lot"]
    async with server:
        made = [("Batch", ua.VariantType.String)]
        kind = await server.server.create_custom_event_type(index, "BatchDone", ua.ObjectIds.BaseEventType, made)
        async with in_the_field(server.url, [f"ns={index};s=v0"], events=[{"fields": fields}]) as field:
            await field.until(lambda: bool(field.values[0]))
            emitter = await server.server.get_event_generator(kind.nodeid, server.server.nodes.server)
            for word in ("A-17", "A-18"):
                emitter.event.Batch = word
                await emitter.trigger(message=word)
            await field.until(lambda: len(told(field, "opcua_event")) == 2)
            first, second = (event.payload() for event in told(field, "opcua_event"))
            assert first["fields"] == dict(zip(fields, ["A-17", "A-17", "A-17", None], strict=True))
            assert second["type_name"] == first["type_name"] == "BatchDone"
            assert first["event_type"] == kind.nodeid.to_string()


async def test_conditions_are_refreshed_after_a_loss_and_told_once(port):
    async with AsyncuaServer(port, 1) as server, Proxy(port) as proxy:
        url = f"opc.tcp://127.0.0.1:{proxy.port}"
        async with in_the_field(url, ["ns=2;s=v0"], events=[{}]) as field:
            await field.until(lambda: bool(field.values[0]))
            for name in ("stays", "ends"):
                await alarm(server, name, True)
            await field.until(lambda: len(told(field, "alarm")) == 2)
            proxy.refuse = True
            proxy.cut()
            await field.until(lambda: bool(field.downs))
            await alarm(server, "ends", False)
            await alarm(server, "new", True)
            proxy.refuse = False
            await field.until(lambda: len(told(field, "alarm")) == 4)
            states = [(event.condition, event.state) for event in told(field, "alarm")]
            assert states[:2] == [("stays", "active"), ("ends", "active")]
            assert sorted(states[2:]) == [("ends", "cleared"), ("new", "active")]


async def alarm(server, name, active):
    emitter = await server.emitter(ALARM)
    emitter.event.ConditionName, emitter.event.Retain, emitter.event.Severity = name, active, 700
    emitter.event.NodeId = ua.NodeId(name, 2)
    setattr(emitter.event, "ActiveState/Id", active)
    await emitter.trigger(message=name)


async def test_an_unknown_notifier_is_told_and_costs_no_value(port):
    server, wanted = AsyncuaServer(port, 1), [{"notifier": "ns=2;s=nobody"}]
    async with server, in_the_field(server.url, ["ns=2;s=v0"], events=wanted) as field:
        await field.until(lambda: bool(field.values[0] and field.states))
        assert "events of ns=2;s=nobody are refused: Bad" in field.states[-1].reason


async def test_real_alarms_of_a_foreign_server(node, port, store):
    """A limit alarm of node-opcua: High, HighHigh, and back to normal, with severity 0."""
    wanted = [{"severity": 100, "fields": ["SourceNode", "ActiveState/EffectiveDisplayName"]}]
    server = NodeServer(node, port, store, count=1, period=0)
    async with server, in_the_field(server.url, ["ns=1;s=v0"], events=wanted) as field:
        await field.until(lambda: bool(field.values[0]))
        server.command(event="hello", severity=400)
        server.command(event="not worth it", severity=50)
        for count, level in enumerate((60, 95, 20), 1):
            server.command(level=level)
            await field.until(lambda count=count: len(told(field, "alarm")) >= count)
        alarms = told(field, "alarm")
        assert [event.state for event in alarms] == ["active", "active", "cleared"]
        assert {event.condition for event in alarms} == {"HighLevel"}
        assert {event.type_name for event in alarms} == {"ExclusiveLimitAlarmType"}
        assert alarms[0].fields["SourceNode"] == "ns=1;s=level"
        assert [event.message for event in told(field, "opcua_event")] == ["hello"]


async def test_alarms_of_a_foreign_server_survive_its_clients_reconnect(node, port, store):
    async with NodeServer(node, port, store, count=1, period=0) as server, Proxy(port) as proxy:
        url = f"opc.tcp://127.0.0.1:{proxy.port}/test"
        async with in_the_field(url, ["ns=1;s=v0"], events=[{}], session_timeout="2s") as field:
            await field.until(lambda: bool(field.values[0]))
            server.command(level=60)
            await field.until(lambda: len(told(field, "alarm")) == 1)
            proxy.cut()
            await field.until(lambda: field.source.stats()[0]["connects"] == 2 and field.states[-1].state == "ok")
            server.command(level=20)
            await field.until(lambda: len(told(field, "alarm")) == 2)
            assert [event.state for event in told(field, "alarm")] == ["active", "cleared"]

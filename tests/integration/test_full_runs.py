"""Bounds of size and random faults in their full length: what tests/unit runs briefly, called with the large figures."""

from pathlib import Path

import pytest

from gateway.sources.opcua.codec.legacy_schema import parse_dictionary
from gateway.sources.opcua.security.pki import Pki
from tests.unit.cli import test_tail_layouts as tail
from tests.unit.runtime import test_pipeline as pipeline
from tests.unit.settings import test_load as loading
from tests.unit.settings.folders import problems_of, write
from tests.unit.sinks.mqtt import test_host_session as host_session
from tests.unit.sinks.mqtt import test_publishing as publishing
from tests.unit.sources.opcua import test_pki
from tests.unit.sources.opcua.codec.types import test_structures as structures
from tests.unit.sources.opcua.source.history import test_watermark_crashes as watermark_crashes
from tests.unit.sources.opcua.test_dictionary_rules import dictionary, field, fields
from tests.unit.stages import test_summary as summary
from tests.unit.stages import test_windows as stage_windows
from tests.unit.stages.detectors import test_ewma as ewma

publisher = publishing.bench
session = host_session.bench
pki = test_pki.pki


async def test_a_broker_that_refuses_everything_for_hours_costs_no_message(publisher: publishing.Bench) -> None:
    await publishing.test_a_broker_that_refuses_everything_for_hours_costs_no_message(publisher, 1200)


async def test_a_broker_that_takes_every_second_message_costs_none(publisher: publishing.Bench) -> None:
    await publishing.test_a_broker_that_takes_every_second_message_costs_none(publisher, 1200)


async def test_a_topic_that_is_refused_for_good_is_set_aside_message_by_message(publisher: publishing.Bench) -> None:
    await publishing.test_a_topic_that_is_refused_for_good_in_its_own_way_is_set_aside_message_by_message(
        publisher, 600, 300
    )


async def test_connections_that_break_at_random_cost_no_message(publisher: publishing.Bench) -> None:
    await publishing.test_connections_that_break_at_random_cost_no_message(publisher, 900)


async def test_connections_that_break_at_random_cost_no_birth(session: host_session.Bench) -> None:
    await host_session.test_connections_that_break_at_random_cost_no_birth(session, 400)


def test_empty_structures_cost_no_more_than_bytes() -> None:
    structures.test_empty_structures_cost_no_more_than_bytes(10_000)


def test_many_at_once_get_one_certificate(pki: Pki) -> None:
    test_pki.test_many_at_once_get_one_certificate(pki, 20)


def test_many_structures_with_a_large_base_are_bounded() -> None:
    """Ten million fields would take a minute."""
    base = fields(*(field(f"f{n}", "opc:Byte") for n in range(5000)), name="Base")
    some = "".join(fields(field("x", "opc:Byte"), name=f"D{n}", more='BaseType="tns:Base"') for n in range(2000))
    told_of = parse_dictionary(dictionary(base + some))
    assert len(told_of.types) + len(told_of.refused) == 2001
    assert any("too many fields" in why for why in told_of.refused.values())


def test_incomplete_messages_cost_bounded_memory() -> None:
    tail.test_incomplete_messages_cost_bounded_memory(1500)


@pytest.mark.parametrize(("missed", "counted"), [(1, 1), (200, 200), (255, 255), (256, 0), (300, 44)])
def test_sparkplug_s_numbers_prove_an_absence_modulo_256(missed: int, counted: int) -> None:
    tail.test_sparkplug_s_numbers_prove_an_absence_modulo_256(missed, counted)


@pytest.mark.parametrize("windows", [3, 300])
def test_a_sparkplug_session_is_complete(windows: int) -> None:
    tail.test_a_sparkplug_session_is_complete(windows)


def test_a_large_inline_file_loads_in_reasonable_time(tmp_path: Path) -> None:
    loading.test_a_large_inline_file_loads_in_reasonable_time(tmp_path, 3000)


def test_history_comes_in_portions_and_all_of_it() -> None:
    stage_windows.test_history_comes_in_portions_and_all_of_it(1200)


def test_an_hour_of_history_is_sixty_supplements_and_not_one_per_window() -> None:
    summary.test_an_hour_of_history_is_sixty_supplements_and_not_one_per_window(60)


async def test_windows_do_not_drift() -> None:
    await pipeline.test_windows_do_not_drift(900)


async def test_slewing_is_followed_silently() -> None:
    await pipeline.test_slewing_is_followed_silently(1800)


@pytest.mark.parametrize("seed", range(20))
async def test_each_value_counts_once_or_is_told_as_skipped(seed: int) -> None:
    await watermark_crashes.test_each_value_counts_once_or_is_told_as_skipped(seed)


@pytest.mark.parametrize("constant", [0.0, 1.0, -250.0, 1e9, 1e-9])
def test_a_constant_signal_that_changes_for_good_is_told_once_and_accepted(constant: float) -> None:
    ewma.test_a_constant_signal_that_changes_for_good_is_told_once_and_accepted(constant)


def test_aliases_that_explode_are_refused_in_time(tmp_path: Path) -> None:
    """A billion laughs: 9^8 values from nine lines."""
    lines = ["name: g", "a0: &a0 [1,1,1,1,1,1,1,1,1]"]
    lines += [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    (problem,) = problems_of(write(tmp_path, {"gateway.yaml": "\n".join(lines)}))
    assert "repeats itself" in problem.message

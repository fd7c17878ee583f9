"""The page in a real headless Chromium: every screen, 10,000 tags live, a phone, the keyboard, axe, no complaint."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from gateway.core.events.process import LimitAlarm
from gateway.core.quality import Quality
from gateway.web.view import HistoryView
from tests.support.absent import absent
from tests.support.browser import CHROMIUM, Page, browsing
from tests.support.web_client import Served, serving
from tests.support.web_view import FakePlant, fake_plant

AXE = Path(__file__).parents[1] / "node" / "node_modules" / "axe-core" / "axe.min.js"
SCREENS = {
    "": "document.querySelectorAll('.device').length >= 20 && document.querySelector('.device .down')",
    "tags": "document.querySelectorAll('.grow-row').length > 5",
    "tag/d0/t1": "document.querySelector('.big') && document.querySelector('.uplot')",
    "alarms": "document.body.innerText.includes('hihi')",
    "delivery": "document.querySelectorAll('.uplot').length === 2 && document.querySelector('[role=meter]')",
    "bus": "document.body.innerText.includes('round trip')",
    "configuration": "document.body.innerText.includes('gateway.yaml:1')",
}


async def _history(tag: int, from_ns: int, to_ns: int, points: int) -> HistoryView:
    times = np.linspace(from_ns / 1e6, to_ns / 1e6, 300).astype(np.int64)
    mean = np.sin(np.linspace(0, 9, 300)) + tag
    mean[100:120] = np.nan
    del points
    return HistoryView(times, mean - 0.2, mean, mean + 0.2)


def _large_plant() -> FakePlant:
    plant = fake_plant(devices=20, tags=500)
    plant.set_state(2, "down", "no answer within 3 s: is it switched on? <img src=x onerror=alert(1)>")
    plant.live.event(
        LimitAlarm(
            time_ns=time.time_ns(), device=0, tag=1, state="active", condition="hihi", value=9.0, limit=8.0, severity=800
        )
    )
    return plant


async def _feed(plant: FakePlant) -> None:
    ids = range(10_000)
    for turn in range(1_000_000):
        plant.read(ids, [turn + 0.1 * (one % 10) for one in ids])
        plant.read([7], [float("nan")], Quality.BAD_TIMEOUT)
        await asyncio.sleep(0.2)


@contextlib.asynccontextmanager
async def _page(folder: Path) -> AsyncIterator[tuple[Page, Served]]:
    if CHROMIUM is None:
        absent("chromium")
    plant = _large_plant()
    feeding = asyncio.create_task(_feed(plant))
    try:
        async with serving(plant.view(history=_history), folder) as served, browsing(folder) as page:
            await page.size(1280, 860)
            await page.open(served.url + "/")
            yield page, served
            assert page.problems == []
            assert all(url.startswith((served.url, "data:", "about:")) for url in page.requests), (
                "the page needs no internet"
            )
    finally:
        feeding.cancel()


async def _axe(page: Page) -> list[str]:
    """What axe finds wrong with what is shown."""
    script = await asyncio.to_thread(AXE.read_text)
    await page.run(script + ";0")
    return await page.run(
        "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']}).then("
        "r => r.violations.map(v => v.id + ': ' + v.nodes.map(n => n.html).slice(0, 3).join(' | ')))"
    )


async def test_every_screen_is_there_accessible_and_quiet_light_and_dark(tmp_path: Path) -> None:
    async with _page(tmp_path) as (page, _):
        for dark in (False, True):
            await page.size(1280, 860, dark=dark)
            for screen, condition in SCREENS.items():
                await page.run(f"location.hash = '#/{screen}'")
                await page.wait(condition)
                if AXE.exists():
                    assert await _axe(page) == [], f"{screen}, dark: {dark}"
                else:
                    absent("axe-core")
        assert await page.run("document.querySelector('img') === null"), "what a device says is never markup"


async def test_values_are_live_and_rows_come_as_one_scrolls(tmp_path: Path) -> None:
    async with _page(tmp_path) as (page, _):
        await page.run("location.hash = '#/tags'")
        await page.wait("document.getElementById('total')?.textContent === '10,000 tags'")
        value = "document.querySelector('.grow-row .c-value').textContent"
        before = await page.run(value)
        await page.wait(f"{value} !== {before!r}")
        await page.wait("document.querySelectorAll('.grow-row polyline').length > 3")
        await page.run("document.querySelector('.viewport').scrollTop = 1e9")
        await page.wait("[...document.querySelectorAll('.grow-row')].some(r => r.textContent.includes('t499'))")
        assert await page.run("document.querySelectorAll('.grow-row').length") < 100
        await page.run("q.value = 'd3 t42'; q.dispatchEvent(new Event('input'))")
        await page.wait("document.getElementById('total').textContent === '11 tags'")
        await page.run("q.value = ''; quality.value = 'bad'; quality.dispatchEvent(new Event('change'))")
        await page.wait("document.querySelector('.grow-row .bad')?.textContent === 'bad: timeout'")


async def test_a_chart_of_the_past_shows_the_band_and_the_gap(tmp_path: Path) -> None:
    async with _page(tmp_path) as (page, _):
        await page.run("location.hash = '#/tag/d0/t1'")
        await page.wait("document.querySelector('.uplot')")
        await page.run("[...document.querySelectorAll('button')].find(b => b.textContent === '1 h').click()")
        await page.wait("document.querySelector('.u-legend')?.textContent.includes('highest')")
        assert await page.run("document.body.innerText.includes('hihi active')")


@pytest.mark.parametrize("screen", ["", "tags", "tag/d0/t1", "alarms", "delivery", "bus", "configuration"])
async def test_it_fits_a_phone(tmp_path: Path, screen: str) -> None:
    async with _page(tmp_path) as (page, _):
        await page.size(390, 844, phone=True)
        await page.run(f"location.hash = '#/{screen}'")
        await page.wait(SCREENS[screen])
        width = await page.run("document.documentElement.scrollWidth")
        assert width <= 390
        assert await page.run("document.querySelector('nav').getBoundingClientRect().bottom <= innerHeight + 1")


async def test_the_course_of_the_delivery_is_the_gateways_and_survives_a_reload(tmp_path: Path) -> None:
    async with _page(tmp_path) as (page, served):
        drawn = "document.querySelectorAll('.u-legend').length === 2 && document.body.innerText.includes('windows on disk')"
        for _ in range(2):
            await page.open(served.url + "/#/delivery")
            await page.wait(drawn)
            found = await page.run("fetch('/api/v1/course?points=100').then(r => r.json()).then(c => c.waiting)")
            assert found == [3] * 12
        await page.run("[...document.querySelectorAll('button')].find(b => b.textContent === '7 days').click()")
        await page.wait("document.querySelector('[aria-pressed=true]').textContent === '7 days'")


async def test_it_is_used_by_keyboard(tmp_path: Path) -> None:
    async with _page(tmp_path) as (page, _):
        await page.wait("document.querySelectorAll('#nav a').length === 6")
        focused = "document.activeElement.textContent.trim()"
        await page.run("document.body.focus()")
        for _ in range(12):
            await page.key("Tab")
            if (await page.run(focused)).startswith("Tags"):
                break
        await page.key("Enter")
        await page.wait("location.hash === '#/tags' && document.querySelectorAll('.grow-row a').length > 5")
        for _ in range(20):
            await page.key("Tab")
            if await page.run("document.activeElement.closest('.grow-row') !== null"):
                break
        await page.key("Enter")
        await page.wait("location.hash.startsWith('#/tag/d0/t') && document.querySelector('.big')")


async def test_no_answer_is_said_and_the_page_comes_back(tmp_path: Path) -> None:
    plant = _large_plant()
    if CHROMIUM is None:
        absent("chromium")
    async with browsing(tmp_path) as page:
        async with serving(plant.view(), tmp_path) as served:
            await page.open(served.url + "/")
            await page.wait(
                "document.getElementById('health').textContent === 'Needs help' || document.querySelector('.banner')"
            )
        await page.wait("document.getElementById('health').textContent === 'No answer'")
        async with serving(plant.view(), tmp_path, served.port):
            await page.wait("document.getElementById('health').textContent !== 'No answer'")

"""The viewer and a report in Chromium: no complaint, drawn, played, scrubbed, turned, light and dark."""

import numpy as np
import pytest
from helpers.chromium import Browser

from estag_jax.data.system import System
from estag_jax.report.viewer import Clip, View

V = "document.querySelector('.viewer').viewer"
PICTURE = "document.querySelector('canvas').toDataURL()"
BLANK = """(() => { const c = document.querySelector('canvas').cloneNode(); return c.toDataURL(); })()"""
MIDDLE = """(r => [r.x + r.width / 2, r.y + r.height / 2])(
  document.querySelector('canvas').getBoundingClientRect())"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A helix that turns, and a forecast of it."""
    t, angle = np.arange(40)[:, None], 0.6 * np.arange(12)
    x = np.stack(
        [np.cos(angle + 0.1 * t), 0 * t + 0.4 * np.arange(12), np.sin(angle + 0.1 * t)], -1
    )
    bonds = np.stack([np.arange(11), np.arange(1, 12)], axis=1)
    system = System(tuple(map(str, range(12))), length_unit="cm", bonds=bonds)
    forecast = x + 0.01 * t[..., None] * np.sin(np.arange(12))[:, None]
    clips = [
        Clip(a[:, :, None], b[:, :, None], n, 0.0, 0.5)
        for a, b, n in ((x, forecast, "one"), (x, x, "two"))
    ]
    path = tmp_path_factory.mktemp("page") / "helix.html"
    View(clips, system, "s").save(path, "helix")
    return path


@pytest.fixture(scope="module")
def browser():
    with Browser() as opened:
        yield opened


def picture(browser):
    """The canvas, once what was asked is drawn."""
    browser.run("new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")
    return browser.run(PICTURE)


def test_it_draws_plays_scrubs_and_turns(browser, page):
    browser.open(page)
    first = picture(browser)
    assert first != browser.run(BLANK) and len(first) > 4000
    browser.run("document.querySelector('input[type=range]').value = 30")
    browser.run("document.querySelector('input[type=range]').dispatchEvent(new Event('input'))")
    scrubbed = picture(browser)
    assert browser.run(f"{V}.frame") == 30 and scrubbed != first
    said = browser.run("document.querySelector('output').textContent")
    assert said.startswith("frame 31 of 40, 15 s, error ") and said.endswith(" cm (r.m.s.)")
    assert said in browser.run("document.querySelector('canvas').getAttribute('aria-label')")
    browser.run("document.querySelector('.controls button').click()")
    browser.until(f"{V}.frame === 39 && !{V}.playing")
    box = browser.run(MIDDLE)
    before = picture(browser)
    browser.drag(*box, 60, 25)
    assert picture(browser) != before
    for key, frame in (("Home", 0), (".", 1), (".", 2), (",", 1), ("End", 39)):
        browser.key(key)
        assert browser.run(f"{V}.frame") == frame
    for key in ("ArrowLeft", "+"):
        before = picture(browser)
        browser.key(key)
        assert picture(browser) != before
    browser.key("0")
    browser.key(" ")
    assert browser.run(f"{V}.playing")
    browser.key(" ")
    assert not browser.run(f"{V}.playing")
    assert browser.faults == []


def test_choices_change_the_picture(browser, page):
    browser.open(page)
    browser.run(f"{V}.seek(35)")
    seen = [picture(browser)]

    def choose(label, value):
        found = f"[...document.querySelectorAll('label')].find(l => l.textContent.startsWith('{label}'))"
        browser.run(
            f"(s => {{s.value = '{value}'; s.onchange()}})({found}.querySelector('select'))"
        )
        seen.append(picture(browser))

    choose("Errors drawn", 10)
    choose("Colour", "kind")
    browser.run("document.querySelector('input[type=checkbox]').click()")
    seen.append(picture(browser))
    choose("Show", 1)
    assert len(set(seen)) == len(seen)
    assert "error 0 cm" in browser.run("document.querySelector('output').textContent")
    assert browser.faults == []


def test_fingers_turn_and_zoom_and_the_page_fits_a_phone(browser, page):
    browser.open(page, 390, 800, phone=True)
    assert browser.run("document.documentElement.scrollWidth") <= 390
    seen = [picture(browser)]
    browser.touch([(200, 200)], [(240, 210)])
    seen.append(picture(browser))
    before = browser.run(f"{V}.zoom")
    browser.touch([(150, 200), (240, 200)], [(120, 200), (270, 200)])
    seen.append(picture(browser))
    assert len(set(seen)) == 3 and browser.run(f"{V}.zoom") > 1.2 * before
    assert browser.faults == []


def test_light_and_dark_follow_the_system_and_the_switch(browser, page):
    paper = "getComputedStyle(document.body).backgroundColor"
    shades = {}
    for dark in (False, True):
        browser.open(page, dark=dark)
        shades[dark], drawn = browser.run(paper), picture(browser)
        browser.run("document.querySelector('#theme').click()")
        switched = browser.run(paper), picture(browser)
        assert switched[0] != shades[dark] and switched[1] != drawn
        browser.run("document.querySelector('#theme').click()")
        assert (browser.run(paper), picture(browser)) == (shades[dark], drawn)
    assert shades[False] == "rgb(255, 255, 255)" and shades[True] != shades[False]
    assert browser.faults == []


def test_faults_are_noticed(browser, tmp_path):
    """The control: a page that fails and one that asks for something from elsewhere."""
    for body in ("<script>null.x</script>", "<img src='http://127.0.0.1:9/a.png'>"):
        (tmp_path / "bad.html").write_text(f"<!doctype html><title>a</title>{body}")
        browser.open(tmp_path / "bad.html")
        browser.until("document.readyState === 'complete'")
        assert browser.faults
        browser.faults.clear()

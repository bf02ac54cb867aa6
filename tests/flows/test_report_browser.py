"""The report as a person sees it: headless Chromium, light and dark, on a desk and on a phone."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flows.report.page import write_report
from tests.flows.headless import Look, chromium, see
from tests.flows.report_corpora import STOPPED, add_stopped_night
from tests.flows.report_lake import BEGUN, FIRST, HOSTILE, LINE, add_nights
from tests.flows.smoke import Night
from warehouse.lake import Lake

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

DESK, PHONE = 1280, 400
BROKEN = """<!doctype html><title>t</title><img src="http://127.0.0.1:9/a.png">
<div style="width: 2000px; color: #eee">faint</div><script>console.error("told")</script>"""


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def reports(smoke_night: Night, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The pages of four nights, two of them full of markup, and the index."""
    data = tmp_path_factory.mktemp("seen") / "lake"
    shutil.copytree(smoke_night.data, data, symlinks=True)
    add_nights(data)
    add_stopped_night(data)
    with Lake.open(data) as lake:
        pages = [write_report(lake, LINE, night) for night in (FIRST, HOSTILE, BEGUN, STOPPED)]
        return [*pages, lake.root / "reports" / "index.html"]


@pytest.mark.parametrize("width", [DESK, PHONE])
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_a_report_is_sound_in_a_browser(
    browser: "Browser", reports: list[Path], colours: str, width: int
) -> None:
    for page in reports:
        seen = see(browser, page, Look(colours, width))
        assert seen.requests == (page.as_uri(),)
        assert seen.complaints == ()
        assert seen.outside <= 0, page
        assert seen.violations == ()
        assert seen.printed.startswith(b"%PDF-")


def test_light_and_dark_look_different(browser: "Browser", reports: list[Path]) -> None:
    light, dark = (see(browser, reports[0], Look(colours, DESK)) for colours in ("light", "dark"))
    assert light.picture != dark.picture
    assert light.printed.startswith(b"%PDF-")


def test_the_checks_see_a_broken_page(browser: "Browser", tmp_path: Path) -> None:
    page = tmp_path / "broken.html"
    page.write_text(BROKEN, encoding="utf-8")
    seen = see(browser, page, Look("light", DESK))
    assert "http://127.0.0.1:9/a.png" in seen.requests
    assert "told" in seen.complaints
    assert seen.outside > 0
    assert {found.split(":")[0] for found in seen.violations} >= {"image-alt", "color-contrast"}

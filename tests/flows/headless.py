"""A page of ours in headless Chromium: what it asks of the network, says on the console, and what
axe-core finds in it.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Page

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
)
_HEIGHT = 900
_OPEN_ALL = "document.querySelectorAll('details').forEach(part => { part.open = true })"
# How far anything that is drawn lies outside the window; what scrolls in a box of its own may.
_OUTSIDE = """() => Math.max(
    document.documentElement.scrollWidth - document.documentElement.clientWidth,
    ...[...document.querySelectorAll('svg text')].map(text => text.getBoundingClientRect())
        .filter(box => box.width > 0)
        .map(box => Math.max(-box.left, box.right - document.documentElement.clientWidth)))"""
_AXE = """async () => (await axe.run(document)).violations.map(found => ({
    id: found.id, impact: found.impact, nodes: found.nodes.map(node => node.html) }))"""


@dataclass(frozen=True, slots=True)
class Look:
    """How a page is looked at: the colours that the reader prefers, the window's width."""

    colours: str
    width: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of opening a page: requests, complaints (console, errors, dialogs), pixels outside
    the window, what axe-core calls serious or critical, a picture, and the printed page.
    """

    requests: tuple[str, ...]
    complaints: tuple[str, ...]
    outside: float
    violations: tuple[str, ...]
    picture: bytes
    printed: bytes


@contextmanager
def chromium() -> "Iterator[Browser]":
    """A running browser; skips the test, with the reason, where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="run `make test-browser`")
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if program is None:
        pytest.skip(f"needs one of {', '.join(_PROGRAMS)}: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


def see(browser: "Browser", file: Path, look: Look) -> Seen:
    """The page as it is opened, then with all its folded parts open."""
    requests: list[str] = []
    complaints: list[str] = []

    def refuse(dialog: "Dialog") -> None:
        complaints.append(dialog.message)
        dialog.dismiss()

    context = browser.new_context(
        viewport={"width": look.width, "height": _HEIGHT},
        color_scheme="dark" if look.colours == "dark" else "light",
    )
    page = context.new_page()
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", refuse)
    page.goto(file.as_uri(), wait_until="load")
    picture = page.screenshot(full_page=True)
    outside = float(page.evaluate(_OUTSIDE))
    page.evaluate(_OPEN_ALL)
    outside = max(outside, float(page.evaluate(_OUTSIDE)))
    # axe-core puts elements of its own into the page: what is said from here on is not the page's.
    said = tuple(complaints)
    violations = _violations(page)
    printed = page.pdf(format="A4")
    context.close()
    return Seen(tuple(requests), said, outside, violations, picture, printed)


def _violations(page: "Page") -> tuple[str, ...]:
    page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8"))
    found: list[dict[str, Any]] = page.evaluate(_AXE)
    return tuple(
        f"{item['id']}: {item['nodes'][0]}"
        for item in found
        if item["impact"] in ("serious", "critical")
    )

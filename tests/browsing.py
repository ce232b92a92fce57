"""A real browser for tests of pages: Chromium or Chrome, headless."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDE, NARROW = (1280, 900), (390, 844)
# In which a page is looked at: wide and narrow, light and dark.
SIGHTS = [(size, scheme) for size in (WIDE, NARROW) for scheme in ("light", "dark")]
_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]

# Contrast of an element's text with what lies behind it, as WCAG 2 defines it.
_CONTRAST = """(element) => {
  const lightness = (color) => {
    const [r, g, b] = color.match(/[\\d.]+/g).slice(0, 3).map((c) => c / 255)
      .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let behind = element;
  while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)")
    behind = behind.parentElement;
  const [a, b] = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor]
    .map(lightness).sort((x, y) => y - x);
  return (a + 0.05) / (b + 0.05);
}"""


@dataclass
class Sight:
    """A page as it is open, with what it asked for and what went wrong in it.

    Args:
        page: playwright's page.
        requests: addresses that were asked for.
        errors: what scripts raised or logged as errors.
    """

    page: Any
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def look(self, size: tuple[int, int] = WIDE, scheme: str = "light") -> None:
        """Have a window of this size, and prefer light or dark."""
        self.page.set_viewport_size({"width": size[0], "height": size[1]})
        self.page.emulate_media(color_scheme=scheme)

    def text(self, selector: str) -> str:
        """The text of one element."""
        return str(self.page.text_content(selector)).strip()

    def texts(self, selector: str) -> list[str]:
        """The texts of all elements."""
        return [text.strip() for text in self.page.locator(selector).all_text_contents()]

    def overflow(self) -> int:
        """Pixels by which the page is wider than its window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - innerWidth"))

    def contrast(self, selector: str) -> float:
        """Smallest contrast of the elements' text with what lies behind it."""
        elements = self.page.locator(selector)
        return min(elements.nth(i).evaluate(_CONTRAST) for i in range(elements.count()))


@contextmanager
def launched() -> Iterator[Any]:
    """The browser, while it is open.

    Raises:
        FileNotFoundError: there is none.
    """
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        raise FileNotFoundError(f"no browser: none of {', '.join(NAMES)} is on the PATH")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The browser; closed with the module, since its event loop is that of the thread."""
    if not any(map(shutil.which, NAMES)):
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is on the PATH")
    with launched() as chromium:
        yield chromium


@contextmanager
def opened(browser: Any, place: Path | str) -> Iterator[Sight]:
    """A page that has been opened."""
    page = browser.new_page()
    page.set_default_timeout(120_000)  # a busy machine is no fault of the page
    sight = Sight(page)
    page.on("request", lambda request: sight.requests.append(request.url))
    page.on("pageerror", lambda error: sight.errors.append(str(error)))
    page.on("console", lambda said: said.type == "error" and sight.errors.append(said.text))
    page.goto(place.as_uri() if isinstance(place, Path) else place)
    yield sight
    page.close()

"""A real browser for the tests of the panel: where it is, installing it, and pages that notice what went wrong.

`python -m mistudio_pipelines_tests.browser` installs Debian's Chromium where there is none; the test command runs it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NOT_FOUND = "no Chromium: install Debian's (`apt-get install chromium`), or put one on PATH"
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_SECONDS_TO_INSTALL = 600
_MILLISECONDS = 20_000

# Answers that say what is wrong (404, 409 …) are noted by the browser too, and htmx notes a search that the next letter
# has made needless; both are looked at where they come.
_NO_PROBLEMS = ("Failed to load resource", "htmx:sendAbort", "htmx:afterRequest", "Response Status Error Code")

# Told by the page itself, from before anything is drawn: https://web.dev/articles/cls says what counts.
_WATCH_SHIFTS = """
window.layoutShifts = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    if (!entry.hadRecentInput) {
      window.layoutShifts.push([entry.value, ...entry.sources.map((one) => one.node?.outerHTML?.slice(0, 120))]);
    }
  }
}).observe({ type: "layout-shift", buffered: true });
"""


def find_browser() -> str | None:
    """Path of a browser that playwright can drive, or None."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


@contextmanager
def running_browser(path: str) -> Iterator[Browser]:
    """A browser without a window."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=_MILLISECONDS)  # its own five seconds are too few for two busy cores
    # Chromium does not start its sandbox for root, which is who runs in containers.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def watched_page(browser: Browser, url: str, **options: Any) -> Iterator[Page]:
    """A page of a site; at its end it must have said no error, broken no policy, and asked no other site.

    Args:
        browser: A running browser.
        url: Address of the site.
        options: Of playwright's context, for example `color_scheme`.
    """
    problems: list[str] = []
    own = urlsplit(url).netloc
    context = browser.new_context(base_url=url, **options)
    context.add_init_script(_WATCH_SHIFTS)
    context.set_default_timeout(_MILLISECONDS)
    page = context.new_page()

    def note_console(message: Any) -> None:
        if message.type == "error" and not message.text.startswith(_NO_PROBLEMS):
            problems.append(message.text)

    def note_request(request: Any) -> None:
        if urlsplit(request.url).scheme in ("http", "https") and urlsplit(request.url).netloc != own:
            problems.append(f"asked {request.url}")

    page.on("console", note_console)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", note_request)
    try:
        yield page
    finally:
        context.close()
    assert problems == [], problems


def layout_shifts(page: Page) -> list[Any]:
    """What moved by itself since the page was loaded, or since the last call."""
    return list(page.evaluate("() => window.layoutShifts.splice(0)"))


def accessibility_problems(page: Page) -> list[str]:
    """What axe-core finds wrong: the rule and the elements."""
    from axe_playwright_python.sync_playwright import Axe

    found: Mapping[str, Any] = Axe().run(page).response
    return [
        f"{one['id']}: {[(node['html'][:200], node['failureSummary'][:300]) for node in one['nodes'][:3]]}"
        for one in found["violations"]
    ]


def main() -> None:
    """Install a browser where there is none and this may be done."""
    if find_browser() is not None:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        print(f"The panel's browser tests will be skipped: {NOT_FOUND}.")
        return
    install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "chromium"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "--quiet"], install):
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_SECONDS_TO_INSTALL, check=False
        )
        if done.returncode != 0:
            print(f"The panel's browser tests will be skipped: {NOT_FOUND}.\n{done.stderr[-500:]}")
            return


if __name__ == "__main__":
    main()

"""The pages in a real browser, without Dagster: on the width of a phone, with the longest names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from mistudio_pipelines.api.settings import ApiSettings
from mistudio_pipelines.defs.partitions import pair_key
from mistudio_pipelines_tests.api.conftest import served
from mistudio_pipelines_tests.browser import accessibility_problems, watched_page
from mistudio_pipelines_tests.defs.conftest import Workshop

if TYPE_CHECKING:
    from playwright.sync_api import Browser

LONG_NAME = "a-name-without-any-space-" * 4
TABS = ("samples", "statistics", "tokenizations", "provenance")


@dataclass(frozen=True)
class Installation:
    """A dataset that is ready and one in error.

    Attributes:
        ready: The first, tokenized with the preset `small`.
        failed: The second, whose file is gone.
    """

    ready: str
    failed: str


@pytest.fixture(scope="module")
def installation(workshop: Workshop, ready_dataset: str) -> Installation:
    workshop.save_preset()
    assert workshop.run("tokenize", str(pair_key(ready_dataset, "small"))).success
    path = workshop.write_texts(f"{LONG_NAME}.jsonl", ["one"])
    failed = workshop.add(path, name=LONG_NAME)
    path.unlink()
    assert not workshop.run("download", failed).success
    return Installation(ready_dataset, failed)


@pytest.fixture(scope="module")
def url(workshop: Workshop, settings: ApiSettings, installation: Installation) -> Iterator[str]:
    with served(settings, workshop) as address:
        yield address


@pytest.mark.parametrize("width", [320, 390])
def test_no_page_is_wider_than_a_phone_whatever_the_names(
    browser: Browser, url: str, installation: Installation, width: int
) -> None:
    both = f"dataset_id={installation.ready}&dataset_id={installation.failed}"
    paths = ["/datasets", "/storage", f"/deletions?{both}", "/nowhere", f"/datasets/{installation.failed}/retry"]
    paths += [f"/datasets/{one}/{tab}" for one in (installation.ready, installation.failed) for tab in TABS]
    row = f"/datasets/{installation.ready}/tokenizations/small?row="
    paths += [f"{row}1", f"{row}99999", f"/datasets/{installation.ready}/samples/1/tokens?preset=small"]
    with watched_page(browser, url, viewport={"width": width, "height": 800}) as page:
        wider = {}
        for path in paths:
            page.goto(path)
            wider[path] = page.evaluate("document.documentElement.scrollWidth")
    assert {path: found for path, found in wider.items() if found > width} == {}


def test_a_dataset_in_error_says_all_of_it_and_leads_on(browser: Browser, url: str, installation: Installation) -> None:
    from playwright.sync_api import expect

    with watched_page(browser, url, viewport={"width": 390, "height": 800}) as page:
        page.goto("/datasets")
        card = page.locator(f"#card-{installation.failed}")
        expect(card.locator(".badge")).to_have_text("Error")
        expect(card.get_by_role("button", name="Retry Download")).to_be_visible()
        page.goto(f"/datasets/{installation.failed}/samples")
        expect(page.get_by_text("The samples are not there yet.")).to_be_visible()
        expect(page.locator(".notice.error")).to_contain_text(LONG_NAME)
        assert accessibility_problems(page) == []
        page.goto(f"/datasets/{installation.failed}/statistics")
        expect(page.get_by_text("The statistics are not there yet.")).to_be_visible()


def test_in_read_only_mode_the_page_says_so_and_no_text_names_a_button_that_is_not_there(
    browser: Browser, workshop: Workshop, settings: ApiSettings, installation: Installation
) -> None:
    from playwright.sync_api import expect

    with (
        served(replace(settings, read_only=True), workshop) as url,
        watched_page(browser, url, viewport={"width": 390, "height": 800}) as page,
    ):
        for path in ("/datasets", f"/datasets/{installation.failed}/provenance"):
            page.goto(path)
            expect(page.locator(".badge.error")).to_be_visible()
            expect(page.get_by_text("Retry")).to_have_count(0)
            assert accessibility_problems(page) == []
        page.goto("/datasets")
        expect(page.get_by_text("Read-only: here datasets are read and searched")).to_be_visible()

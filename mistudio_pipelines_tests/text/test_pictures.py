"""Pictures are small, well-formed, described, and the same on light and dark pages."""

from __future__ import annotations

import base64
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mistudio_pipelines.text.pictures import histogram_svg, markdown_image, shares_svg, storage_svg
from mistudio_pipelines.text.statistics_model import Histogram

SVG = "{http://www.w3.org/2000/svg}"
counts_of_bins = st.lists(st.integers(0, 10**9), min_size=20, max_size=20)


def parse(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def made_histogram(counts) -> Histogram:
    return Histogram(edges=tuple(float(edge) for edge in range(21)), counts=tuple(counts))


@given(counts_of_bins)
def test_a_histogram_has_one_bar_a_bin_inside_the_picture(counts):
    svg = histogram_svg(made_histogram(counts))
    root = parse(svg)
    bars = [rect for rect in root.iter(f"{SVG}rect") if rect.find(f"{SVG}title") is not None]
    assert len(bars) == 20
    for bar in bars:
        assert float(bar.get("height")) >= 0
        assert float(bar.get("y")) + float(bar.get("height")) <= float(root.get("height"))
    assert len(svg) < 6000


def test_counts_that_differ_much_are_drawn_logarithmically_and_it_is_said():
    assert "logarithmic" in histogram_svg(made_histogram([1_000_000, 3] + [0] * 18))
    assert "logarithmic" not in histogram_svg(made_histogram([10, 3] + [0] * 18))


@given(st.dictionaries(st.text(max_size=80), st.integers(0, 10**15), max_size=12))
def test_any_names_and_sizes_make_a_well_formed_small_picture(sizes):
    for svg in (shares_svg(sizes), storage_svg(sizes)):
        root = parse(svg)
        assert root.find(f"{SVG}title").text
        assert root.find(f"{SVG}desc").text
        assert len(svg) < 6000


def test_shares_are_told_in_words_too():
    root = parse(shares_svg({"train": 900, "test": 100}))
    assert root.find(f"{SVG}desc").text == "train: 900, 90%; test: 100, 10%"


def test_many_parts_end_in_the_rest():
    assert "7 others" in shares_svg({f"split{number}": 100 - number for number in range(12)})


def test_a_picture_as_markdown_holds_the_picture():
    svg = storage_svg({"raw": 2_300_000_000, "index": 900_000_000})
    assert "3.2 GB" in svg
    markdown = markdown_image(svg, "Storage [all]")
    assert markdown.startswith("![Storage (all)](data:image/svg+xml;base64,")
    assert base64.b64decode(markdown.split("base64,")[1].rstrip(")")).decode() == svg


@pytest.mark.parametrize(
    "colour", ["#0072b2", "#b45309", "#00795c", "#a8447f", "#6d28d9", "#64748b", "#475569", "#0f172a"]
)
def test_every_colour_can_be_seen_on_the_card(colour):
    def luminance(value: str) -> float:
        parts = [int(value[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    assert (luminance("#f8fafc") + 0.05) / (luminance(colour) + 0.05) >= 3

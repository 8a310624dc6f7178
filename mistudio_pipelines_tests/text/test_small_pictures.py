"""Small pictures fit into Dagster's asset page, whatever they show."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from mistudio_pipelines.text.pictures import markdown_image
from mistudio_pipelines.text.small_pictures import LONGEST_IN_PLACE, small_histogram, small_shares

COUNTS = st.lists(st.integers(0, 10**12), min_size=20, max_size=20)


@given(COUNTS, st.integers(0, 10**12), st.integers(0, 10**12))
def test_a_histogram_of_any_counts_is_a_drawing_that_is_shown_in_place(counts: list[int], low: int, high: int) -> None:
    edges = [low + high * index / 20 for index in range(21)]
    svg = small_histogram(edges, counts)
    ElementTree.fromstring(svg)
    assert len(markdown_image(svg, "Tokens per sample")) <= LONGEST_IN_PLACE


@given(st.dictionaries(st.text(max_size=100), st.integers(0, 10**15), max_size=30))
def test_shares_of_any_names_are_a_drawing_that_is_shown_in_place(parts: dict[str, int]) -> None:
    svg = small_shares(parts)
    ElementTree.fromstring(svg)
    assert len(markdown_image(svg, "Samples by split")) <= LONGEST_IN_PLACE


def test_long_names_in_any_script_do_not_make_a_picture_too_large() -> None:
    svg = small_shares({chr(0x20000 + number) * 50: 10**15 - number for number in range(9)})
    assert len(markdown_image(svg, "Samples by split")) <= LONGEST_IN_PLACE


def test_shares_name_the_largest_parts_and_count_the_rest() -> None:
    svg = small_shares({f"part{number}": 10 - number for number in range(8)})
    assert "part0 19.2%" in svg
    assert "4 more" in svg
    assert "part7" not in svg

"""Pieces of a text around what was found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mistudio_pipelines.text.search import WrittenPhrase
from mistudio_pipelines.text.search_words import search_words
from mistudio_pipelines.text.snippets import find_highlights, find_snippets


def phrase(*words: str, prefix: bool = False) -> WrittenPhrase:
    return WrittenPhrase(tuple((word,) for word in words), prefix)


def found(text: str, *phrases: WrittenPhrase) -> list[str]:
    return [text[start:end] for start, end in find_highlights(text, phrases)]


def test_words_are_highlighted_where_they_are_words():
    assert found("The cat, the catalog and THE cat's", phrase("cat")) == ["cat", "cat"]
    assert found("The cat, the catalog", phrase("cat", prefix=True)) == ["cat", "catalog"]
    assert found("a red, Cat! red cat", phrase("red", "cat")) == ["red, Cat", "red cat"]
    assert found("私は東京都に", phrase("東", "京")) == ["東京"]
    assert found("ΟΔΟΣ", phrase("οδοσ")) == ["ΟΔΟΣ"]
    assert found("İstanbul", phrase("istanbul")) == ["İstanbul"]


def test_overlapping_finds_are_one_highlight():
    assert found("a b c", phrase("a", "b"), phrase("b", "c")) == ["a b c"]


def test_what_was_not_searched_shows_the_beginning():
    (snippet,) = find_snippets("word " * 100, [])
    assert snippet.text.startswith("word")
    assert snippet.highlights == ()
    assert snippet.ends_inside
    assert not snippet.starts_inside


def test_a_find_far_inside_is_shown_with_its_surroundings():
    (snippet,) = find_snippets("before " * 1000 + "needle" + " after" * 1000, [phrase("needle")])
    assert len(snippet.text) < 200
    assert snippet.starts_inside
    assert snippet.ends_inside
    assert "<mark>needle</mark>" in snippet.marked()


def test_decomposed_accents_are_found_and_shown_composed():
    (snippet,) = find_snippets("un cafe\u0301 noir", [phrase("café")])
    assert snippet.marked("[", "]") == "un [café] noir"


def test_many_finds_give_few_pieces():
    assert len(find_snippets(("needle" + " hay" * 100 + " ") * 50, [phrase("needle")])) == 3


@pytest.mark.timeout(30)
def test_the_cost_of_a_search_in_a_long_text_does_not_grow_with_its_square():
    assert found("a " + "a" * 1_000_000 + " a", phrase("a")) == ["a", "a"]
    find_snippets("hay " * 50_000, [phrase("needle"), phrase("ha"), phrase("hay", "needle")])


@given(
    st.text(st.sampled_from("aé東1 .-\u0301\nİς"), max_size=60),
    st.text(st.sampled_from("aé東1"), min_size=1, max_size=2),
)
def test_a_text_that_holds_the_words_is_highlighted_there_and_only_there(text, asked):
    words = tuple(search_words(asked))
    whole = phrase(*words)
    for snippet in find_snippets(text, [whole]):
        for start, end in snippet.highlights:
            assert search_words(snippet.text[start:end]) == list(words)

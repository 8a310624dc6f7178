"""The query language: what is read, and what people are told where it cannot be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.text.query import LONGEST_QUERY, And, Not, Or, Phrase, parse_query, positive_phrases


def word(text: str) -> Phrase:
    return Phrase((text,))


@pytest.mark.parametrize(
    ("query", "tree"),
    [
        ("Cats", word("cats")),
        ("cats dogs", And((word("cats"), word("dogs")))),
        ("cats AND dogs", And((word("cats"), word("dogs")))),
        ("cats OR dogs birds", Or((word("cats"), And((word("dogs"), word("birds")))))),
        ("(cats OR dogs) birds", And((Or((word("cats"), word("dogs"))), word("birds")))),
        ("cats NOT dogs", And((word("cats"), Not(word("dogs"))))),
        ("cats Cats CATS", word("cats")),
        ("NOT NOT cats", word("cats")),
        ("NOT (a OR b)", Not(Or((word("a"), word("b"))))),
        ('"Black Cats"', Phrase(("black", "cats"))),
        ('"AND" or', And((word("and"), word("or")))),
        ("don't", Phrase(("don", "t"))),
        ("3.14", Phrase(("3", "14"))),
        ("東京*", Phrase(("東", "京"))),
        ("run*", Phrase(("run",), prefix=True)),
        ("pre-run*", Phrase(("pre", "run"), prefix=True)),
        ('"run*"', word("run")),
        ('a"b"c', And((word("a"), word("b"), word("c")))),
    ],
)
def test_queries_are_read_as_people_mean_them(query, tree):
    assert parse_query(query) == tree


@pytest.mark.parametrize(
    ("query", "position", "reason"),
    [
        ('cats "black', 5, "never closed"),
        ("cats AND", 8, "AND needs a word after it"),
        ("AND cats", 0, "AND needs a word before it"),
        ("cats OR OR dogs", 8, "OR needs a word after it"),
        ("(cats", 0, "never closed"),
        ("cats )", 5, "closes nothing"),
        ("cats ()", 6, "hold nothing"),
        ("cats !!!", 5, "no letter or digit"),
        ("*", 0, "no letter or digit"),
        ('""', 0, "hold no word"),
        ("", 0, "nothing to search for"),
        ("(" * 60 + "a", 50, "nested"),
        ("cat \ud800", 4, "half a character"),
        ("a" * (LONGEST_QUERY + 1), LONGEST_QUERY, "at most"),
    ],
)
def test_a_malformed_query_is_one_sentence_that_shows_the_position(query, position, reason):
    with pytest.raises(MistudioError) as caught:
        parse_query(query)
    assert caught.value.code == ErrorCode.INVALID_QUERY
    assert caught.value.details["position"] == position
    assert reason in caught.value.message
    assert f"character {position + 1}" in caught.value.message
    assert "▸" in caught.value.message
    assert len(caught.value.message) < 300


@given(st.text(st.sampled_from('ab "()*!ANDORT東é\n'), max_size=30))
def test_any_text_is_read_or_refused_with_a_position_inside_it(query):
    try:
        parse_query(query)
    except MistudioError as error:
        assert error.code == ErrorCode.INVALID_QUERY
        assert 0 <= error.details["position"] <= len(query)


def test_what_is_excluded_is_not_highlighted():
    assert positive_phrases(parse_query("a (b OR NOT c) NOT d")) == [word("a"), word("b")]

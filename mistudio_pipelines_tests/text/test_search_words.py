"""What a search word is: one definition, once for queries and once for whole batches."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mistudio_pipelines.text.search_words import fold, prepare_for_index, search_words

HARD = "aéÉßİς東京かがカﾞ가ก่ก́\u0301\u200d\n \x85\u2028“”’\u00a0²ﬁЙй😀👍🏽A1_-\0"
characters = st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from(HARD))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(characters)))
def test_a_batch_is_cut_into_the_words_that_its_texts_have_one_by_one(texts):
    encoded = [text.encode() for text in texts]
    ends = [sum(map(len, encoded[: place + 1])) for place in range(len(encoded))]
    prepared = prepare_for_index(b"".join(encoded), ends)
    expected = [search_words(text) for text in texts]
    assert [[word for word in text.split(" ") if word] for text in prepared.texts] == expected
    assert prepared.accented == {word for words in expected for word in words if fold(word) != word}


@settings(max_examples=300, deadline=None)
@given(st.text(characters))
def test_folding_a_word_again_changes_nothing(text):
    for word in search_words(text):
        assert fold(fold(word)) == fold(word)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't stop 3.14 foo_bar", ["don", "t", "stop", "3", "14", "foo", "bar"]),
        ("東京abc", ["東", "京", "abc"]),
        ("ภาษาไทย", ["ภ", "า", "ษ", "า", "ไ", "ท", "ย"]),
        ("한국어", ["한", "국", "어"]),
        ("cafe\u0301 CAFÉ", ["café", "café"]),
        ("ΟΔΟΣ οδος", ["οδοσ", "οδοσ"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("👍🏽 5€", ["👍🏽", "5", "€"]),
        ("\u0301 !?", []),
    ],
)
def test_words_of_many_scripts(text, words):
    assert search_words(text) == words


@pytest.mark.parametrize(
    ("word", "folded"),
    [
        ("café", "cafe"),
        ("straße", "strasse"),
        ("øre", "ore"),
        ("ﬁnd", "find"),
        ("ｎ１", "n1"),
        ("كِتَاب", "كتاب"),
        ("ё", "е"),
        ("й", "й"),
        ("が", "が"),
        ("हिन्दी", "हिन्दी"),
        ("한", "한"),
        ("ấ", "a"),
    ],
)
def test_folding_takes_accents_away_and_leaves_letters(word, folded):
    assert fold(word) == folded

"""Tokens are exactly what `str.split()` gives, and different tokens have different keys."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from mistudio_pipelines.text.statistics_scan import make_block, scan_tokens, spell_tokens, text_keys

WHITE_SPACE = "".join(chr(code) for code in range(0x110000) if chr(code).isspace())
characters = st.one_of(
    st.sampled_from(WHITE_SPACE + "\0ab\u200b\u180e\ufeff"), st.characters(exclude_categories=["Cs"])
)
long_words = st.builds(lambda letter, length: letter * length, st.sampled_from("aé"), st.integers(1, 300))
texts = st.lists(st.one_of(st.none(), st.text(characters), st.lists(long_words).map(" ".join)))


@settings(max_examples=500, deadline=None)
@given(texts)
def test_tokens_are_those_of_str_split(values):
    expected = [(value or "").split() for value in values]
    block = make_block(0, [pa.array(values, pa.string())])
    tokens = scan_tokens(block)
    assert tokens.per_sample.tolist() == [len(words) for words in expected]
    words = [word for split in expected for word in split]
    spelling = spell_tokens(block, {*tokens.keys.tolist(), 1})
    assert [spelling[key] for key in tokens.keys.tolist()] == words
    assert len(set(words)) == len(set(tokens.keys.tolist()))


def test_all_white_space_of_unicode_separates():
    text = "x".join(WHITE_SPACE) + "x"
    assert scan_tokens(make_block(0, [pa.array([text])])).per_sample.tolist() == [len(text.split())]


def test_a_text_of_one_enormous_token_is_one_token():
    tokens = scan_tokens(make_block(0, [pa.array(["A" * 3_000_000, "b"])]))
    assert tokens.per_sample.tolist() == [1, 1]


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(characters, max_size=5))), st.integers(0, 3))
def test_equal_texts_have_equal_keys_wherever_they_lie(values, skipped):
    whole = pa.array(values, pa.string())
    block = make_block(0, [whole.slice(skipped), pa.array(values, pa.large_string())])
    keys = text_keys(block).tolist()
    seen = [value or "" for value in [*values[skipped:], *values]]
    assert len(set(keys)) == len(set(seen))
    assert len({(key, text) for key, text in zip(keys, seen, strict=True)}) == len(set(seen))

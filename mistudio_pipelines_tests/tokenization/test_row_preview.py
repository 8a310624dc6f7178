"""One row read back: its ids are those of the files, and its documents those it was made of."""

from __future__ import annotations

import pytest

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.tokenization.row_preview import join_cut_characters, preview_row, samples_by_position
from mistudio_pipelines.tokenization.sources import SourceStretch
from mistudio_pipelines_tests.text.raw_datasets import DATASET_ID, make_dataset
from mistudio_pipelines_tests.tokenization.tokenized_rows import rows_of, tokenize

TEXTS = {"train": [f"Once upon a time, story {number}. 東京 é" for number in range(30)], "test": ["the end " * 5, None]}


@pytest.fixture
def made(tmp_path, tokenizer_folder):
    store = make_dataset(tmp_path / "data", TEXTS)
    tokenize(store, tokenizer_folder("sample"), context_size=16)
    return store


def test_a_row_is_shown_with_the_ids_of_its_file(made):
    for split in TEXTS:
        rows = rows_of(made, split)
        for number in range(len(rows)):
            shown = preview_row(made, DATASET_ID, "p", split, number, 1000)
            assert [token.id for token in shown.tokens] == rows[number]
            assert (shown.rows, shown.length) == (len(rows), len(rows[number]))


def test_tokens_read_like_the_text_and_lead_to_their_document(made):
    shown = preview_row(made, DATASET_ID, "p", "train", 0, 1000)
    assert shown.tokens[0].special
    assert shown.tokens[0].sample is None
    assert "".join(token.text for token in shown.tokens if token.sample == 0).startswith("Once upon a time, story 0.")
    assert {one.sample for one in shown.sources} == {token.sample for token in shown.tokens} - {None}


def test_no_more_tokens_are_read_than_asked(made):
    shown = preview_row(made, DATASET_ID, "p", "train", 1, 3)
    assert (len(shown.tokens), shown.length) == (3, 16)


@pytest.mark.parametrize(("split", "row"), [("train", 10_000), ("nowhere", 0)])
def test_a_row_that_is_not_there_is_refused_with_the_rows_that_are(made, split, row):
    with pytest.raises(MistudioError, match=r"There is no row .*Its splits have train:") as caught:
        preview_row(made, DATASET_ID, "p", split, row, 10)
    assert caught.value.code == ErrorCode.INVALID_QUERY


def test_what_was_put_in_belongs_to_no_document():
    stretches = [SourceStretch(1, 2, 7, 0), SourceStretch(4, 9, 8, 0)]
    assert samples_by_position(6, stretches) == [None, 7, 7, None, 8, 8]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([b"a", b"\xc3", b"\xa9", b"b"], ["a", "é", "", "b"]),
        ([b"\xe6\x9d", b"\xb1", b"\xe4", b"\xba", b"\xac"], ["東", "", "京", "", ""]),
        # The token that ends one character begins the next.
        ([b"x\xe6", b"\x9d\xb1\xe4", b"\xba\xac!"], ["x東京!", "", ""]),
        # A row may begin and end inside a character.
        ([b"\x9d", b"a", b"\xe6"], ["\ufffd", "a", "\ufffd"]),
        (["\ufffd".encode(), b"a"], ["\ufffd", "a"]),
        ([], []),
    ],
)
def test_a_character_that_tokens_cut_stands_at_the_first_of_them(pieces, expected):
    texts = [piece.decode(errors="replace") for piece in pieces]
    assert join_cut_characters(texts, lambda a, b: b"".join(pieces[a:b]).decode(errors="replace")) == expected


def test_the_tokens_of_a_document_read_like_its_text(made):
    shown = preview_row(made, DATASET_ID, "p", "train", 1, 1000)
    assert "\ufffd" not in "".join(token.text for token in shown.tokens[2:-3])

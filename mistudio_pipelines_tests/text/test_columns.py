"""Which column is the text."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.text.columns import WELL_KNOWN_TEXT_COLUMNS, choose_text_column, is_text_type

TYPES = st.sampled_from(["string", "large_string", "int64", "double", "list<item: string>", "null", "binary"])
NAMES = st.one_of(st.sampled_from([*WELL_KNOWN_TEXT_COLUMNS, "title", "id", "Text"]), st.text(max_size=8))


@pytest.mark.parametrize(
    "arrow_type",
    [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())],
)
def test_every_arrow_type_of_strings_is_text(arrow_type):
    assert is_text_type(str(arrow_type))


@pytest.mark.parametrize(
    "arrow_type",
    [pa.int64(), pa.binary(), pa.list_(pa.string()), pa.struct({"text": pa.string()}), pa.null()],
)
def test_other_arrow_types_are_not_text(arrow_type):
    assert not is_text_type(str(arrow_type))


def test_well_known_names_win_in_their_order():
    columns = {"title": "string", "document": "string", "content": "string", "text": "string"}
    assert choose_text_column(columns) == "text"
    del columns["text"]
    assert choose_text_column(columns) == "content"


def test_a_well_known_name_that_holds_no_text_is_passed_over():
    assert choose_text_column({"text": "list<item: string>", "body": "string"}) == "body"


def test_the_only_column_of_strings_is_taken():
    assert choose_text_column({"id": "int64", "story": "large_string"}) == "story"


def test_several_columns_of_strings_are_listed_instead_of_guessed():
    with pytest.raises(MistudioError) as caught:
        choose_text_column({"question": "string", "answer": "string", "id": "int64"})
    assert caught.value.code == ErrorCode.NO_TEXT_COLUMN
    assert "'question', 'answer'" in caught.value.message
    assert caught.value.details["candidates"] == ["question", "answer"]


def test_no_column_of_strings_lists_the_columns():
    with pytest.raises(MistudioError, match=r"'id' \(int64\)"):
        choose_text_column({"id": "int64"})
    with pytest.raises(MistudioError, match="there are no columns"):
        choose_text_column({})


def test_an_unknown_or_unfit_request_lists_the_choices():
    columns = {"id": "int64", "question": "string", "answer": "string"}
    with pytest.raises(MistudioError, match=r"no column 'text'.*'id', 'question', 'answer'"):
        choose_text_column(columns, "text")
    with pytest.raises(MistudioError, match=r"'id' holds int64, not text.*'question', 'answer'"):
        choose_text_column(columns, "id")


def test_a_requested_column_of_nothing_but_nulls_is_accepted():
    assert choose_text_column({"text": "null", "id": "int64"}, "text") == "text"


def test_a_thousand_columns_make_a_sentence_that_ends():
    with pytest.raises(MistudioError) as caught:
        choose_text_column({f"column_{number}": "string" for number in range(1000)})
    assert len(str(caught.value)) < 1500


@given(st.dictionaries(NAMES, TYPES, max_size=8), st.none() | NAMES)
def test_the_choice_is_a_text_column_or_an_error_with_a_next_step(columns, requested):
    try:
        chosen = choose_text_column(columns, requested)
    except MistudioError as error:
        assert error.code == ErrorCode.NO_TEXT_COLUMN
        assert error.next_step
        return
    assert is_text_type(columns[chosen]) or (chosen == requested and columns[chosen] == "null")
    if requested is not None:
        assert chosen == requested

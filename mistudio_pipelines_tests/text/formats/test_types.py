"""Types that change: the smallest that holds both, and the change to it."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mistudio_pipelines.text.formats.json_rows import build_array, infer_type
from mistudio_pipelines.text.formats.types import conform, conform_table, plain_type, widen, widen_schema


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (pa.int8(), pa.int32(), pa.int32()),
        (pa.uint8(), pa.int8(), pa.int64()),
        (pa.uint64(), pa.int64(), pa.string()),
        (pa.int32(), pa.float32(), pa.float64()),
        (pa.float32(), pa.float64(), pa.float64()),
        (pa.string(), pa.large_string(), pa.large_string()),
        (pa.null(), pa.timestamp("s"), pa.timestamp("s")),
        (pa.timestamp("s"), pa.timestamp("ms"), pa.string()),
        (pa.bool_(), pa.int64(), pa.string()),
        (pa.list_(pa.int32()), pa.large_list(pa.float64()), pa.large_list(pa.float64())),
        (pa.list_(pa.int32(), 2), pa.list_(pa.int32()), pa.list_(pa.int32())),
        (pa.binary(), pa.large_binary(), pa.large_binary()),
        (pa.struct({"a": pa.int8()}), pa.struct({"b": pa.string()}), pa.struct({"a": pa.int8(), "b": pa.string()})),
        (pa.struct({"a": pa.int8()}), pa.list_(pa.int8()), pa.string()),
    ],
)
def test_widening(first, second, expected):
    assert widen(first, second) == expected
    assert widen(first, first) == first
    if not pa.types.is_struct(expected):
        assert widen(second, first) == expected


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text("aä", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(first=st.lists(values, max_size=5), second=st.lists(values, max_size=5), start=st.integers(0, 2))
def test_an_array_conformed_later_is_the_same_as_one_built_at_once(first, second, start):
    narrow = infer_type(first)
    wide = widen(narrow, infer_type(second))
    array = build_array(first, narrow)
    conformed = conform(array, wide)
    conformed.validate(full=True)
    assert conformed.type == wide
    assert len(conformed) == len(first)
    assert [value is None for value in conformed.to_pylist()] == [value is None for value in array.to_pylist()]
    # A slice is what readers hand on; what lies before it must not come along.
    assert conform(array.slice(start), wide).to_pylist() == conformed.to_pylist()[start:]


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(values, min_size=1, max_size=6))
def test_inference_holds_every_value(rows):
    built = build_array(rows, infer_type(rows)).to_pylist()
    for row, value in zip(rows, built, strict=True):
        if isinstance(row, str | bool) or (isinstance(row, int) and isinstance(value, int)):
            assert value == (row if isinstance(value, str | bool | int) and not isinstance(row, bool) else value)
        if isinstance(value, str) and not isinstance(row, str):
            assert json.loads(value) == row


def test_maps_dictionaries_and_slices_of_them_become_plain():
    maps = pa.array([[("k", 1)], None, [("a", 2), ("b", None)], []], pa.map_(pa.string(), pa.int64()))
    target = plain_type(maps.type)
    expected = [[{"key": "k", "value": 1}], None, [{"key": "a", "value": 2}, {"key": "b", "value": None}], []]
    assert conform(maps, target).to_pylist() == expected
    assert conform(maps.slice(1, 2), target).to_pylist() == expected[1:3]
    encoded = pa.array(["a", None, "b", "a"]).dictionary_encode()
    assert conform(encoded.slice(1), pa.string()).to_pylist() == [None, "b", "a"]


def test_values_that_become_text_are_json():
    array = pa.array([{"a": [1, None]}, None])
    assert conform(array, pa.string()).to_pylist() == ['{"a": [1, null]}', None]
    assert conform(pa.array([1.5, None]), pa.string()).to_pylist() == ["1.5", None]
    assert conform(pa.array([True, None]), pa.large_string()).to_pylist() == ["true", None]


def test_columns_that_a_table_lacks_are_null_and_metadata_is_kept_while_types_are():
    schema = pa.schema({"a": pa.int64()}, metadata={"huggingface": "{}"})
    assert widen_schema(schema, pa.schema({"a": pa.int8()})).metadata
    wider = widen_schema(schema, pa.schema({"b": pa.string()}))
    assert not wider.metadata
    assert conform_table(pa.table({"a": [1]}), wider).to_pylist() == [{"a": 1, "b": None}]

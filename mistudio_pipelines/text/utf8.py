"""Invalid UTF-8: counted and replaced by U+FFFD, or refused.

What belongs here: the repair of Arrow arrays and of byte streams, the same rule for every format. What does not:
any format's own syntax (`formats/`).
"""

from __future__ import annotations

import struct

import pyarrow as pa
import pyarrow.compute as pc

REPLACEMENT = "\ufffd"
_REPLACEMENT_BYTES = REPLACEMENT.encode()


def is_string_type(data_type: pa.DataType) -> bool:
    """Whether a column of this type holds text, in any of Arrow's encodings of it."""
    if pa.types.is_dictionary(data_type):
        return is_string_type(data_type.value_type)
    return bool(
        pa.types.is_string(data_type) or pa.types.is_large_string(data_type) or pa.types.is_string_view(data_type)
    )


def is_valid_utf8(content: bytes) -> bool:
    """Whether bytes are valid UTF-8; Arrow's check takes a tenth of the time of decoding them."""
    offsets = pa.py_buffer(struct.pack("=qq", 0, len(content)))
    try:
        pa.Array.from_buffers(pa.large_string(), 1, [None, offsets, pa.py_buffer(content)]).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def decode_counting(content: bytes) -> tuple[str, int]:
    """Decode bytes as UTF-8, each maximal invalid sequence as one U+FFFD.

    Returns:
        The text, and how many sequences were replaced (characters U+FFFD that were there before do not count).
    """
    try:
        return content.decode(), 0
    except UnicodeDecodeError:
        text = content.decode(errors="replace")
        # UTF-8 synchronizes itself: these three bytes are always a character of their own, never part of another.
        return text, text.count(REPLACEMENT) - content.count(_REPLACEMENT_BYTES)


def repair_array(array: pa.Array) -> tuple[pa.Array, int]:
    """An array of text (string, large_string) without invalid UTF-8. Parquet files may hold it; Arrow does not check.

    Returns:
        The array itself where it is valid, and how many sequences were replaced.

    Raises:
        pyarrow.ArrowInvalid: The array is damaged in other ways.
    """
    try:
        array.validate(full=True)
        return array, 0
    except pa.ArrowInvalid:
        content = array.view(pa.large_binary() if pa.types.is_large_string(array.type) else pa.binary())
        content.validate(full=True)  # offsets that lead outside are no matter of characters
        replaced = 0
        texts: list[str | None] = []
        for value in content.to_pylist():
            text, count = (None, 0) if value is None else decode_counting(value)
            texts.append(text)
            replaced += count
        return pa.array(texts, type=array.type), replaced


def as_text(array: pa.Array) -> tuple[pa.Array, int]:
    """Any column of text as a plain string or large_string array without invalid UTF-8.

    Args:
        array: string, large_string, string_view, a dictionary of them, binary, or null.

    Returns:
        The array, and how many invalid sequences were replaced.

    Raises:
        pyarrow.ArrowInvalid: The array is damaged in other ways than invalid UTF-8.
    """
    if pa.types.is_dictionary(array.type):
        array = _decode_dictionary(array)
    if pa.types.is_string_view(array.type):
        content = array.view(pa.binary_view())
        content.validate(full=True)
        array = pc.cast(content, pa.large_binary())
    if pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type):
        array = array.view(pa.large_string() if pa.types.is_large_binary(array.type) else pa.string())
    if pa.types.is_null(array.type):
        array = pc.cast(array, pa.string())
    return repair_array(array)


def as_bytes_type(data_type: pa.DataType) -> pa.DataType:
    """The type with bytes in place of text, also inside lists and structs; the same memory can be viewed as it."""
    if pa.types.is_string(data_type):
        return pa.binary()
    if pa.types.is_large_string(data_type):
        return pa.large_binary()
    if pa.types.is_struct(data_type):
        return pa.struct([field.with_type(as_bytes_type(field.type)) for field in data_type])
    if pa.types.is_list(data_type):
        return pa.list_(data_type.value_field.with_type(as_bytes_type(data_type.value_type)))
    if pa.types.is_large_list(data_type):
        return pa.large_list(data_type.value_field.with_type(as_bytes_type(data_type.value_type)))
    return data_type


def _decode_dictionary(array: pa.DictionaryArray) -> pa.Array:
    """The values of a dictionary array; unlike Arrow's own, this does not believe its indices."""
    values = array.dictionary
    values.view(as_bytes_type(values.type)).validate(full=True)
    limits = pc.min_max(array.indices).as_py()
    if limits["max"] is not None and not 0 <= limits["min"] <= limits["max"] < len(values):
        raise pa.ArrowInvalid("a dictionary index is out of bounds")
    return values.take(array.indices)

"""The form for a tokenization preset, made from the preset's own fields so that the two cannot differ.

Dagster's launchpad knows text, numbers, switches and lists; choices become text with the choices in the help.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import dagster as dg
from pydantic import Field, ValidationError, create_model

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.tokenization.presets import TokenizationPreset

_FILLED_IN_WHEN_SAVED = frozenset({"format_version", "tokenizer_sha256"})
_TAKES_WORDS_OR_NUMBERS = frozenset({"begin_of_batch", "begin_of_sequence", "separator"})


def _form_type(annotation: Any) -> Any:
    """The launchpad's type for a field of the preset."""
    choices = [one for one in (get_args(annotation) or (annotation,)) if one is not type(None)]
    optional = type(None) in get_args(annotation)
    if bool in choices:
        base: Any = bool
    elif choices == [int]:
        base = int
    elif any(getattr(one, "__origin__", None) is tuple for one in choices):
        base, optional = list[str], False
    else:
        base = str
    return base | None if optional else base


def _form_default(name: str, default: Any) -> Any:
    if name in _TAKES_WORDS_OR_NUMBERS:
        return "none" if default is None else str(default)
    return [] if name == "splits" else default


def _make_form() -> type[dg.Config]:
    fields: dict[str, Any] = {}
    for name, field in TokenizationPreset.model_fields.items():
        if name in _FILLED_IN_WHEN_SAVED:
            continue
        form_type = str if name in _TAKES_WORDS_OR_NUMBERS else _form_type(field.annotation)
        default = ... if field.is_required() else _form_default(name, field.default)
        fields[name] = (form_type, Field(default, description=field.description))
    return create_model("SaveTokenizationConfig", __base__=dg.Config, __doc__="The form for a preset.", **fields)


if TYPE_CHECKING:

    class SaveTokenizationConfig(dg.Config):
        """The form; its fields are those of the preset."""

else:
    SaveTokenizationConfig = _make_form()


def preset_from_form(values: dict[str, Any]) -> TokenizationPreset:
    """The preset that a filled-in form (or the command's options) asks for.

    Args:
        values: By field name; words for special tokens may be `none` or a token id.

    Raises:
        MistudioError: `invalid_preset`, naming each field that does not fit and why.
    """
    cleaned = {
        name: _special_token(value) if name in _TAKES_WORDS_OR_NUMBERS else value
        for name, value in values.items()
        if not (name == "splits" and not value)
    }
    try:
        return TokenizationPreset(**cleaned)
    except ValidationError as error:
        reasons = "; ".join(f"{'.'.join(map(str, one['loc'][:1]))}: {one['msg']}" for one in error.errors())
        raise MistudioError(
            ErrorCode.INVALID_PRESET,
            f"The preset cannot be saved: {reasons}.",
            "Correct it and save it again.",
        ) from error


def _special_token(value: Any) -> Any:
    if value in (None, "none", ""):
        return None
    return int(value) if isinstance(value, str) and value.isdigit() else value

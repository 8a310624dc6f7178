"""The page of tokenizations: which presets can be started, fields of the form of a preset, links into Dagster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from mistudio_pipelines.api.models.tokenizations import DatasetTokenization
from mistudio_pipelines.panel.forms import Fields
from mistudio_pipelines.tokenization.presets import TokenizationPreset

WORKING: Final = frozenset({"waiting", "running", "interrupted"})
# How a state looks: the colours of the statuses.
TONES: Final = {
    "ready": "ready",
    "waiting": "downloading",
    "running": "tokenizing",
    "interrupted": "ingesting",
    "failed": "error",
    "lost": "error",
    "damaged": "error",
    "canceled": "deleting",
}
_TEXTS: Final = ("name", "tokenizer", "mode", "truncation", "padding", "dtype", "column_name")
_OPTIONAL_TEXTS: Final = ("tokenizer_revision", "token_name")
_SPECIALS: Final = ("begin_of_batch", "begin_of_sequence", "separator")


def startable(presets: Sequence[TokenizationPreset], made: Sequence[DatasetTokenization]) -> list[TokenizationPreset]:
    """Presets that a dataset is not tokenized with, and is not being."""
    done = {one.preset for one in made if one.state == "ready" or one.state in WORKING}
    return [one for one in presets if one.name not in done]


def preset_values(fields: Fields) -> dict[str, Any]:
    """Values of a request for a preset from the fields of the form; what was left empty is as usual."""
    values: dict[str, Any] = {name: fields.text(name) for name in _TEXTS if fields.text(name)}
    values |= {name: fields.text(name) for name in _OPTIONAL_TEXTS if fields.text(name)}
    for name in _SPECIALS:
        choice = fields.text(name)
        if choice:
            values[name] = None if choice == "none" else int(choice) if choice.isdecimal() else choice
    for name in ("context_size", "stride", "shuffle_seed"):
        if fields.text(name):
            values[name] = fields.text(name)
    splits = [one.strip() for one in fields.text("splits").split(",") if one.strip()]
    if splits:
        values["splits"] = splits
    for name in ("add_special_tokens", "skip_invalid", "keep_sources"):
        values[name] = fields.is_checked(name)
    return values


def tokenizer_names(text: str) -> list[str]:
    """Tokenizers from one field, which are apart by commas or lines."""
    return list(dict.fromkeys(one.strip() for one in text.replace("\n", ",").split(",") if one.strip()))

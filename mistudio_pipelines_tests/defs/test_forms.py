"""The form of a preset: the same fields, in words that the launchpad knows."""

from __future__ import annotations

import pytest

from mistudio_pipelines.defs.forms import SaveTokenizationConfig, preset_from_form
from mistudio_pipelines.errors import MistudioError
from mistudio_pipelines.tokenization.presets import TokenizationPreset


def test_the_form_has_every_field_that_a_person_fills_in_with_its_help() -> None:
    form = SaveTokenizationConfig.model_fields
    assert set(form) == set(TokenizationPreset.model_fields) - {"format_version", "tokenizer_sha256"}
    assert all(form[name].description == TokenizationPreset.model_fields[name].description for name in form)


def test_an_untouched_form_is_the_preset_with_its_defaults() -> None:
    filled = SaveTokenizationConfig(name="gpt2-1024", tokenizer="openai-community/gpt2")
    expected = TokenizationPreset(name="gpt2-1024", tokenizer="openai-community/gpt2")
    assert preset_from_form(filled.model_dump()) == expected


def test_special_tokens_are_words_numbers_or_nothing() -> None:
    preset = preset_from_form(
        {"name": "a", "tokenizer": "b", "separator": "0", "begin_of_batch": "none", "begin_of_sequence": "eos"}
    )
    assert (preset.separator, preset.begin_of_batch, preset.begin_of_sequence) == (0, None, "eos")


def test_a_field_that_does_not_fit_is_named() -> None:
    with pytest.raises(MistudioError, match="mode") as caught:
        preset_from_form({"name": "a", "tokenizer": "b", "mode": "sideways"})
    assert caught.value.code == "invalid_preset"

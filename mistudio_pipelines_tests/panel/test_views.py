"""What pages show, made of plain values."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mistudio_pipelines.api.models.datasets import DatasetSummary, OrphanedPath, Storage
from mistudio_pipelines.api.models.samples import TokenPiece
from mistudio_pipelines.api.models.tokenizations import DatasetTokenization, PresetRequest
from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.panel.forms import Fields, adding_values, parse_fields
from mistudio_pipelines.panel.rendering import address, plural, prose, short_count, visible
from mistudio_pipelines.panel.views.cards import make_card
from mistudio_pipelines.panel.views.history import history_lines
from mistudio_pipelines.panel.views.samples import (
    page_numbers,
    pieces_of_characters,
    query_values,
    stretches,
    usual_ranges,
)
from mistudio_pipelines.panel.views.storage import storage_bar
from mistudio_pipelines.panel.views.tokenizations import preset_values, startable, tokenizer_names
from mistudio_pipelines.text.sample_query import SampleQuery
from mistudio_pipelines.tokenization.presets import TokenizationPreset


def summary(**values: Any) -> DatasetSummary:
    usual: dict[str, Any] = {**DatasetSummary.model_config["json_schema_extra"]["examples"][0]}  # type: ignore[index, call-overload]  # pydantic's
    return DatasetSummary(**{**usual, **values})


def test_a_download_in_progress_shows_how_far_it_is_and_can_be_cancelled() -> None:
    card = make_card(summary(status="downloading", progress=45.2, detail="45% 39s left"))
    assert (card.label, card.is_busy, card.percent, card.detail) == ("Downloading", True, 45.2, "45% 39s left")
    assert (card.can_cancel, card.can_retry, card.can_open, card.can_update) == (True, False, False, False)


def test_what_waits_without_a_run_cannot_be_cancelled() -> None:
    assert not make_card(summary(status="downloading", job_id=None)).can_cancel


def test_an_error_that_a_run_can_mend_has_a_button_instead_of_a_command() -> None:
    card = make_card(summary(status="error", stage="download", next_step="Continue it: `mistudio retry ds_x`."))
    assert card.can_retry
    assert card.advice == "Retry continues where it stopped."


def test_an_error_that_no_run_can_mend_says_what_to_do_instead() -> None:
    card = make_card(summary(status="error", stage=None, next_step="Restore it from a backup."))
    assert (card.can_retry, card.advice) == (False, "Restore it from a backup.")


def test_a_ready_dataset_can_be_opened_and_one_of_the_hub_updated() -> None:
    ready = summary(status="ready", num_samples=3, num_tokens=9, job_id=None)
    assert make_card(ready).can_open
    assert make_card(ready).can_update
    assert not make_card(ready.model_copy(update={"source": "Local"})).can_update


def test_texts_can_be_read_while_their_dataset_is_tokenized() -> None:
    assert make_card(summary(status="tokenizing", stage="tokenization", num_samples=3)).can_open


@given(st.text(), st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9)), max_size=5))
def test_a_text_cut_at_its_highlights_is_still_the_text(text: str, wishes: list[tuple[int, int]]) -> None:
    highlights: list[tuple[int, int]] = []
    position = 0
    for gap, length in wishes:
        start = position + gap
        if start + length <= len(text):
            highlights.append((start, start + length))
            position = start + length
    parts = stretches(text, highlights)
    assert "".join(part.text for part in parts) == text
    assert [part.text for part in parts if part.is_hit] == [text[start:end] for start, end in highlights]


@given(st.integers(1, 500), st.integers(1, 500))
def test_pages_offered_are_ascending_with_both_ends_and_this_one(page: int, pages: int) -> None:
    page = min(page, pages)
    shown = page_numbers(page, pages)
    numbers = [one for one in shown if one is not None]
    assert numbers == sorted(set(numbers))
    assert {1, page, pages} <= set(numbers)
    assert len(shown) <= 9
    for before, gap, after in zip(shown, shown[1:], shown[2:], strict=False):
        if gap is None:
            assert before is not None
            assert after is not None
            assert after - before > 2


@pytest.mark.parametrize(
    ("least", "most", "ranges"),
    [
        (0, 80, []),
        (0, 100, [(0, 99), (100, 499)]),
        (120, 700, [(100, 499), (500, 999)]),
        (5, 9000, [(0, 99), (100, 499), (500, 999), (1000, 4999), (5000, None)]),
        (6000, 7000, []),
    ],
)
def test_ranges_that_hold_no_sample_are_not_offered(
    least: int, most: int, ranges: list[tuple[int, int | None]]
) -> None:
    assert usual_ranges(least, most) == ranges


def test_an_address_says_only_what_is_unusual() -> None:
    assert address("/x", query_values(SampleQuery())) == "/x"
    query = SampleQuery(search="a b", splits=("train", "test"), min_tokens=0, max_tokens=5, page=2, sort="-tokens")
    expected = "/x?search=a+b&split=train&split=test&min_tokens=0&max_tokens=5&sort=-tokens&page=2"
    assert address("/x", query_values(query)) == expected


def test_a_bar_of_storage_never_leaves_its_frame() -> None:
    storage = Storage(
        free_bytes=1,
        used_bytes=900,
        uploads_bytes=50,
        datasets=[],
        orphans=[OrphanedPath(path="x", kind="trash", dataset_id=None, bytes=49)],
    )
    bar = storage_bar(storage)
    assert bar.used_width + bar.other_width <= 100
    assert (bar.other, bar.is_low) == (99, True)


def test_history_is_shown_newest_first_in_the_words_of_the_list() -> None:
    lines = history_lines(
        [
            {"time": "2026-01-31T10:00:00+00:00", "event": "dataset_added", "revision": "0123456789abcdef"},
            {"time": "2026-01-31T10:01:00+00:00", "event": "status_changed", "now": "ready"},
            {"time": "2026-01-31T10:02:00+00:00", "event": "status_changed", "now": "error: x", "error": "No."},
            {"time": "not a time", "event": "x"},
            {"time": "2026-01-31T10:03:00+00:00", "event": "something_new"},
        ]
    )  # fmt: skip
    assert [(one.label, one.tone, one.detail) for one in lines] == [
        ("Something new", "", ""),
        ("Error", "error", "No."),
        ("Ready", "ready", ""),
        ("Added", "", "revision 0123456789ab"),
    ]


def test_only_presets_that_are_not_made_yet_can_be_started() -> None:
    presets = [TokenizationPreset(name=name, tokenizer="t") for name in ("a", "b", "c", "d")]
    made = [
        DatasetTokenization(preset="a", state="ready"),
        DatasetTokenization(preset="b", state="running"),
        DatasetTokenization(preset="c", state="failed"),
    ]
    assert [one.name for one in startable(presets, made)] == ["c", "d"]


def test_the_form_of_a_preset_becomes_the_request_of_the_api() -> None:
    body = parse_fields(
        b"name=p&tokenizer=org%2Fmodel&context_size=64&mode=packed&separator=none&begin_of_batch=5&splits=train,+test"
        b"&add_special_tokens=yes&stride=&shuffle_seed=&token_name="
    )
    preset = PresetRequest(**preset_values(body))
    assert (preset.name, preset.tokenizer, preset.context_size) == ("p", "org/model", 64)
    assert (preset.separator, preset.begin_of_batch, preset.splits) == (None, 5, ("train", "test"))
    assert (preset.add_special_tokens, preset.keep_sources, preset.shuffle_seed) == (True, False, None)


def test_a_token_is_never_filled_in_again() -> None:
    values = adding_values(Fields({"repo_id": ["a/b"], "access_token": ["hf_secretsecret"]}))
    assert "hf_secretsecret" not in str(values)


def test_tokenizers_are_apart_by_commas_or_lines_and_named_once() -> None:
    assert tokenizer_names(" a/b, c\n a/b ,,") == ["a/b", "c"]


@pytest.mark.parametrize("body", ["é".encode(), b"&".join(b"a=1" for _ in range(6000)), b"a=%ff%fe"])
def test_a_form_that_makes_no_sense_is_refused(body: bytes) -> None:
    with pytest.raises(MistudioError) as caught:
        parse_fields(body)
    assert caught.value.code == ErrorCode.VALIDATION_ERROR


@given(st.text())
def test_tokens_show_every_character_so_that_it_can_be_seen(text: str) -> None:
    assert re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", visible(text)) is None


def test_numbers_are_said_as_people_say_them() -> None:
    assert [short_count(one) for one in (0, 999, 9999, 10_000, 54_231_000, 2_000_000_000)] == [
        *("0", "999", "9,999", "10 k", "54.2 M", "2 G"),
    ]
    assert [plural(one, "sample") for one in (0, 1, 2000)] == ["0 samples", "1 sample", "2,000 samples"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Run `mistudio up`, then retry.", "Run <code>mistudio up</code>, then retry."),
        ("`a` and `<b>`", "<code>a</code> and <code>&lt;b&gt;</code>"),
        ("5` is <i>", "5` is &lt;i&gt;"),
        ("", ""),
    ],
)
def test_commands_in_sentences_are_shown_as_code(text: str, shown: str) -> None:
    assert prose(text) == shown


@given(st.text(alphabet="`<>&\"'a "))
def test_a_sentence_is_never_markup_whatever_is_in_it(text: str) -> None:
    shown = prose(text).replace("<code>", "").replace("</code>", "")
    assert not set("<>\"'") & set(shown)
    assert prose(text).unescape().replace("<code>", "`").replace("</code>", "`") == text


def test_a_character_that_is_cut_into_several_tokens_is_shown_once() -> None:
    def piece(text: str, start: int | None, end: int | None, *, special: bool = False) -> TokenPiece:
        return TokenPiece(id=1, text=text, start=start, end=end, special=special)

    whole = piece("<s>", None, None, special=True)
    pieces = [whole, whole, piece("r", 0, 1), piece("é", 1, 2), piece("é", 1, 2), piece("é", 2, 3), piece("", 3, 3)]
    shown = pieces_of_characters(pieces)
    assert [one for one, _ in shown] == pieces
    assert [goes_on for _, goes_on in shown] == [False, False, False, False, True, False, False]

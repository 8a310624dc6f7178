"""The content of the files that other libraries look for beside the rows.

What belongs here: `dataset_info.json` for `datasets` and `sae_lens.json` for SAELens. What does not: our own
`tokenization.json` (`results.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mistudio_pipelines import __version__
from mistudio_pipelines.store.manifest import Manifest
from mistudio_pipelines.tokenization.planning import Plan
from mistudio_pipelines.tokenization.presets import TokenizationPreset
from mistudio_pipelines.tokenization.results import Counts, TokenFile
from mistudio_pipelines.tokenization.row_files import ATTENTION_MASK


def dataset_info(
    plan: Plan, width: int | None, counts: dict[str, Counts], files: Sequence[TokenFile]
) -> dict[str, Any]:
    """The content of `dataset_info.json`, as the `datasets` library writes it."""

    def list_of(dtype: str) -> dict[str, Any]:
        return {"feature": {"dtype": dtype, "_type": "Value"}, "length": width or -1, "_type": "List"}

    features = {plan.preset.column_name: list_of(plan.preset.dtype)}
    if plan.preset.mode == "padded":
        features[ATTENTION_MASK] = list_of("int8")
    splits = {
        split: {
            "name": split,
            "num_examples": of_split.rows,
            "num_bytes": sum(file.size for file in files if file.split == split),
        }
        for split, of_split in counts.items()
    }
    return {
        "description": f"{plan.manifest.repository or plan.manifest.dataset_id} tokenized with {plan.identity.name}.",
        "features": features,
        "splits": splits,
        "dataset_size": sum(file.size for file in files),
    }


def sae_lens_metadata(manifest: Manifest, preset: TokenizationPreset) -> dict[str, Any]:
    """The content of `sae_lens.json`: the fields of SAELens' `PretokenizedDatasetMetadata`."""
    return {
        "sae_lens_version": f"mistudio-pipelines {__version__}",
        "tokenizer_name": preset.tokenizer,
        "original_dataset": manifest.repository or manifest.dataset_id,
        "original_dataset_name": manifest.config,
        "original_split": None if preset.splits is None or len(preset.splits) > 1 else preset.splits[0],
        "original_data_files": None,
        "original_column_name": manifest.text_column,
        "context_size": preset.row_size,
        "shuffled": preset.shuffle_seed is not None,
        "seed": preset.shuffle_seed,
        "begin_batch_token": preset.begin_of_batch,
        "begin_sequence_token": preset.begin_of_sequence,
        "sequence_separator_token": preset.separator,
        "disable_concat_sequences": preset.mode != "packed",
        "use_chat_formatting": False,
    }

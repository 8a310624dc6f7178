"""The head of a repository's README: what it says of configs, columns and sizes.

What does not belong here: matching it with the files (`hub/configs.py`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from mistudio_pipelines.errors import ErrorCode, MistudioError

DEFAULT_CONFIG = "default"
_NONSENSE = (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError, pa.ArrowException)


@dataclass(frozen=True)
class Card:
    """What the head of a repository's README says of its data.

    Attributes:
        configs: Parameters of each config (`data_files`, `data_dir`, reader options, …), by name; empty where the
            card names none.
        default_config: Name of the default config, or None.
        columns: Arrow types of the columns of each config, where the card has them.
        split_bytes: Bytes of each split as Arrow tables, by config, where the card has them.
    """

    configs: Mapping[str, Mapping[str, Any]]
    default_config: str | None
    columns: Mapping[str, Mapping[str, str]]
    split_bytes: Mapping[str, Mapping[str, int]]

    @property
    def config_names(self) -> tuple[str, ...]:
        """All configs; a repository without any in its card has one."""
        if self.configs:
            return tuple(self.configs)
        return tuple(self.columns) if len(self.columns) == 1 else (DEFAULT_CONFIG,)


def parse_card(repository: str, readme: str, standalone_yaml: str | None = None) -> Card:
    """Read the YAML head of a README, as `datasets` does.

    Args:
        repository: For the error.
        readme: The whole README; may be empty.
        standalone_yaml: The repository's `.huggingface.yaml`, whose values win.

    Raises:
        MistudioError: `unsupported_format` where the configs make no sense.
    """
    import yaml  # type: ignore[import-untyped]  # comes with huggingface_hub, without types
    from datasets.info import DatasetInfosDict
    from datasets.utils.metadata import MetadataConfigs
    from huggingface_hub import DatasetCard, DatasetCardData
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    try:
        has_head = REGEX_YAML_BLOCK.search(readme) is not None  # without one huggingface_hub logs a warning
        data = DatasetCard(readme, ignore_metadata_errors=True).data if has_head else DatasetCardData()
        extra = yaml.safe_load(standalone_yaml) if standalone_yaml else None
        if isinstance(extra, dict):
            known = data.to_dict()  # type: ignore[no-untyped-call]  # huggingface_hub's
            data = DatasetCardData(**{**known, **extra})
        configs = MetadataConfigs.from_dataset_card_data(data)
        default = configs.get_default_config_name()
        columns = {str(name): _arrow_types(each["features"]) for name, each in configs.items() if each.get("features")}
    except (*_NONSENSE, yaml.YAMLError) as error:
        raise broken_card(repository, error) from error
    split_bytes: dict[str, dict[str, int]] = {}
    # This part only says sizes and types, which the files say too: what makes no sense in it does no harm.
    with contextlib.suppress(*_NONSENSE):
        infos = DatasetInfosDict.from_dataset_card_data(data)
        split_bytes = {str(name): _split_bytes(info) for name, info in infos.items() if info.splits}
        described = {str(name): _arrow_types(info.features) for name, info in infos.items() if info.features}
        columns = {**described, **columns}
    return Card(
        configs={str(name): dict(parameters) for name, parameters in configs.items()},
        default_config=default,
        columns=columns,
        split_bytes=split_bytes,
    )


def broken_card(repository: str, error: Exception) -> MistudioError:
    """The error for a card whose data fields make no sense."""
    lines = str(error).strip().splitlines()
    return MistudioError(
        ErrorCode.UNSUPPORTED_FORMAT,
        f"The card (README.md) of '{repository}' cannot be understood: {lines[0][:200] if lines else 'invalid YAML'}",
        "Tell the dataset's authors, or use an older revision of it.",
    )


def _arrow_types(features: Any) -> dict[str, str]:
    return {field.name: str(field.type) for field in features.arrow_schema}


def _split_bytes(info: Any) -> dict[str, int]:
    return {str(name): int(split.num_bytes or 0) for name, split in info.splits.items()}

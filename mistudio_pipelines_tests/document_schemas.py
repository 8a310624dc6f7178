"""The JSON Schemas of the files on disk, made from the models that read them: `docs/schemas/`.

python -m mistudio_pipelines_tests.document_schemas      # writes them anew; a test keeps them equal
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel

from mistudio_pipelines.store.manifest import Manifest
from mistudio_pipelines.store.records import DatasetRecord
from mistudio_pipelines.text.sample_index import IndexSummary
from mistudio_pipelines.text.statistics_model import DatasetStatistics
from mistudio_pipelines.tokenization.presets import SavedPreset
from mistudio_pipelines.tokenization.results import Tokenization

FOLDER = Path(__file__).parents[1] / "docs" / "schemas"
MODELS: dict[str, type[BaseModel]] = {
    "record": DatasetRecord,
    "manifest": Manifest,
    "statistics": DatasetStatistics,
    "index": IndexSummary,
    "preset": SavedPreset,
    "tokenization": Tokenization,
}


def schema_text(name: str) -> str:
    """The schema of a file, as it stands in `docs/schemas/`."""
    schema = MODELS[name].model_json_schema(mode="serialization")
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2) + "\n"


def main() -> None:
    """Write all of them."""
    FOLDER.mkdir(exist_ok=True)
    for name in MODELS:
        (FOLDER / f"{name}.json").write_text(schema_text(name))


if __name__ == "__main__":
    main()

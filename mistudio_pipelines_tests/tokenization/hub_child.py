"""Saves presets with tokenizers of the Hub that HF_ENDPOINT names, in a process of its own; prints what came of each.

The Hugging Face libraries read the address when they are imported.
`python -m mistudio_pipelines_tests.tokenization.hub_child DATA_FOLDER` reads a JSON list of presets from its input.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from mistudio_pipelines.errors import MistudioError
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.tokenization.presets import TokenizationPreset, save_preset


def main() -> None:
    store = DataStore(Path(sys.argv[1]))
    for settings in json.load(sys.stdin):
        try:
            outcome = save_preset(store, TokenizationPreset(**settings)).model_dump(mode="json")
        except MistudioError as error:
            outcome = error.as_dict()
        print(json.dumps(outcome), flush=True)


if __name__ == "__main__":
    main()

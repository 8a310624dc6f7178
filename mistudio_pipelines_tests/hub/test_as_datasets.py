"""The same repositories, resolved by `datasets` itself and by us: same configs, splits and files, in the same order."""

import gzip
import json
import os
import subprocess
import sys

from mistudio_pipelines.hub.repository import plan_repository
from mistudio_pipelines_tests.hub.conftest import texts_parquet

LINE = b'{"text": "one"}\n'
CSV = b"id,text\n1,one\n"
REPOSITORIES = {
    "user/shards": {
        f"data/{split}-0000{n}-of-00002.parquet": texts_parquet(n + 1)
        for split in ("train", "rare", "test")
        for n in (0, 1)
    },
    "user/names": {"train.csv": CSV, "my-test-1.csv": CSV, "dev.csv": CSV, "notes.md": b"x", ".gitattributes": b"x"},
    "user/folders": {
        "en/train/b.jsonl": LINE,
        "en/train/a.jsonl": LINE,
        "en/testing/c.jsonl": LINE,
        "picture.png": b"x",
    },
    "user/plain": {"one.txt": b"1", "sub/two.txt": b"2", "README.md": b"# No head", "__pycache__/x.txt": b"x"},
    "user/packed": {"train.jsonl.gz": gzip.compress(LINE), "validation.jsonl.gz": gzip.compress(LINE)},
    "user/card": {
        "README.md": b"""---
configs:
- config_name: en
  data_files:
  - split: train
    path: ["en/2.csv", "en/1*.csv"]
  - split: extra_split
    path: "more/**"
- config_name: de
  data_dir: de
- config_name: all
  default: true
  data_files: "**/*.csv"
---
""",
        **{
            path: CSV
            for path in (
                "en/1a.csv",
                "en/1b.csv",
                "en/2.csv",
                "more/x/y.csv",
                "more/z.csv",
                "de/train.csv",
                "de/test.csv",
            )
        },
    },
}
PROGRAM = """
import json, sys
from datasets import get_dataset_config_names, load_dataset_builder
from datasets.exceptions import DatasetNotFoundError
found = {}
for repository in json.loads(sys.argv[1]):
    for config in get_dataset_config_names(repository):
        builder = load_dataset_builder(repository, config)
        files = {}
        for split, addresses in builder.config.data_files.items():
            files[str(split)] = [address.split("@", 1)[1].split("/", 1)[1] for address in addresses]
        found[f"{repository} {config}"] = [builder.__class__.__mro__[1].__module__.split(".")[-1], files]
    found[repository] = load_dataset_builder(repository).config.name
print(json.dumps(found))
"""


def test_configs_splits_and_files_are_those_of_datasets(hub, client, tmp_path):
    for repository, files in REPOSITORIES.items():
        hub.add_repository(repository, files)
    environment = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1"}
    for name in ("HF_HUB_CACHE", "HF_DATASETS_CACHE", "HF_MODULES_CACHE"):
        environment[name] = str(tmp_path / name)
    command = [sys.executable, "-c", PROGRAM, json.dumps(list(REPOSITORIES))]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    configs = 0
    for key, expected in found.items():
        repository, _, config = key.partition(" ")
        if not config:
            assert plan_repository(client, repository).config in (expected, None if expected == "default" else expected)
            continue
        plan = plan_repository(client, repository, config=config)
        ours = {split: [file.path for file in files] for split, files in plan.splits.items()}
        assert [plan.file_format, ours] == expected, key
        configs += 1
    assert configs == len(REPOSITORIES) + 2

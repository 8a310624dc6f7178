"""What the real client libraries do at a Hub, each as a function whose result is plain JSON.

What belongs here: calls of unmodified `huggingface_hub`, `datasets` and `transformers`. What does not: expectations
(`test_hub_server_clients.py`). They read HF_ENDPOINT and HF_HOME when they are imported, so that this runs as a
process of its own: `python -m mistudio_pipelines_tests.local_hub.client_scenarios` prints one JSON object.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

DATASET = "user/name"
GRANTED, OTHER, UNKNOWN = "hf_granted", "hf_other", "hf_unknown"
Scenario = Callable[[], Any]


def hub_information() -> dict[str, Scenario]:
    """`HfApi`'s questions about a repository."""
    from huggingface_hub import HfApi

    api = HfApi()
    of_dataset: dict[str, Any] = {"repo_id": DATASET, "repo_type": "dataset"}
    return {
        "dataset_info": lambda: api.dataset_info(DATASET, files_metadata=True).__dict__,
        "model_info": lambda: api.model_info("user/tokenizer", expand=["gated", "siblings"]).__dict__,
        "revision": lambda: api.dataset_info(DATASET, revision="refs/convert/parquet").sha,
        "moved name": lambda: api.dataset_info("oldname").id,
        "tree": lambda: [item.__dict__ for item in api.list_repo_tree(**of_dataset, recursive=True, expand=True)],
        "paths": lambda: [item.path for item in api.get_paths_info(**of_dataset, paths=["README.md", "data", "no"])],
        "references": lambda: api.list_repo_refs(**of_dataset, include_pull_requests=True).__dict__,
        "commits": lambda: [commit.commit_id for commit in api.list_repo_commits(**of_dataset)],
        "whoami": lambda: api.whoami(token=GRANTED)["name"],
        "no repository": lambda: api.dataset_info("no/such"),
        "no repository for a known token": lambda: api.dataset_info("no/such", token=OTHER),
        "no revision": lambda: api.dataset_info(DATASET, revision="nope"),
        "no folder": lambda: list(api.list_repo_tree(**of_dataset, path_in_repo="nope")),
        "private": lambda: api.dataset_info("user/private", token=OTHER),
        "private, granted": lambda: api.dataset_info("user/private", token=GRANTED).private,
        "unknown token": lambda: api.dataset_info(DATASET, token=UNKNOWN),
        "gate": lambda: api.auth_check("user/gated", repo_type="dataset", token=OTHER),
        "gate, granted": lambda: api.auth_check("user/gated", repo_type="dataset", token=GRANTED),
    }


def hub_downloads() -> dict[str, Scenario]:
    """Downloads by `huggingface_hub`."""
    from huggingface_hub import HfApi, HfFileSystem, hf_hub_download, snapshot_download

    def download(path: str, repository_id: str = DATASET, **options: Any) -> str:
        return Path(hf_hub_download(repository_id, path, repo_type="dataset", **options)).read_bytes().hex()

    def snapshot() -> dict[str, Any]:
        root = snapshot_download(DATASET, repo_type="dataset", token=GRANTED)
        result = HfApi().verify_repo_checksums(DATASET, repo_type="dataset", token=GRANTED)
        return {
            "files": sorted(path.relative_to(root).as_posix() for path in Path(root).rglob("*") if path.is_file()),
            "mismatches": result.mismatches,
            "checked": result.checked_count,
        }

    files = HfFileSystem()
    folder = f"datasets/{DATASET}"

    def ranged() -> str:
        with files.open(f"{folder}/data/train.parquet", block_size=16) as file:
            file.seek(4)
            return file.read(8).hex()

    return {
        "download in LFS": lambda: download("data/train.parquet"),
        "download outside LFS": lambda: download("README.md"),
        "download by revision": lambda: download("default/train/0000.parquet", revision="refs/convert/parquet"),
        "no entry": lambda: download("nope.txt"),
        "gated": lambda: download("data.txt", "user/gated"),
        "gated, not granted": lambda: download("data.txt", "user/gated", token=OTHER),
        "gated, granted": lambda: download("data.txt", "user/gated", token=GRANTED),
        "snapshot": snapshot,
        "file system lists": lambda: files.ls(f"{folder}/data", detail=False),
        "file system reads": lambda: files.read_bytes(f"{folder}/README.md").hex(),
        "file system reads a range": ranged,
        "cut": lambda: download("cut.parquet", "user/faulty"),
        "busy": lambda: download("busy.parquet", "user/faulty"),
        "failing": lambda: len(list(HfApi().list_repo_tree("user/failing", repo_type="dataset"))),
    }


def other_libraries() -> dict[str, Scenario]:
    """`datasets` and `transformers`."""
    import datasets

    def tokens(model: str) -> list[int]:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(model)("hello world")["input_ids"]

    return {
        "load_dataset": lambda: datasets.load_dataset(DATASET, split="train")["text"][:],
        "load_dataset by revision": lambda: datasets.load_dataset(
            DATASET, split="train", revision="refs/convert/parquet"
        )["text"][:],
        "load_dataset streaming": lambda: [
            row["text"] for row in datasets.load_dataset(DATASET, split="train", streaming=True)
        ],
        "configs": lambda: datasets.get_dataset_config_names(DATASET),
        "load_dataset, missing": lambda: datasets.load_dataset("no/such"),
        "load_dataset, gated": lambda: datasets.load_dataset("user/gated"),
        "tokenizer": lambda: tokens("user/tokenizer"),
        "tokenizer without a namespace": lambda: tokens("tokenizer"),
    }


def outcome(scenario: Scenario) -> dict[str, Any]:
    """The result of a scenario, or the error that it ended with."""
    try:
        return {"result": scenario()}
    except Exception as error:  # noqa: BLE001  (whatever the library raises is the outcome)
        status = getattr(getattr(error, "response", None), "status_code", None)
        return {"error": type(error).__name__, "status": status, "message": str(error)}


def main() -> None:
    """Run all scenarios and print their outcomes."""
    scenarios = {**hub_information(), **hub_downloads(), **other_libraries()}
    print(json.dumps({name: outcome(scenario) for name, scenario in scenarios.items()}, default=str))


if __name__ == "__main__":
    main()

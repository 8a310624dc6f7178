"""Tokenizers of the Hub: pinned to a commit, and each refusal its own sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mistudio_pipelines_tests.hub_server import HubServer
from mistudio_pipelines_tests.tokenization.tokenizer_folders import SAMPLE_TOKENIZER

FILES = {path.name: path.read_bytes() for path in SAMPLE_TOKENIZER.iterdir()}
GRANTED = "hf_grantedgrantedgranted"


def save_all(hub: HubServer, folder: Path, presets: list[dict], **environment: str) -> list[dict]:
    child = subprocess.run(
        [sys.executable, "-m", "mistudio_pipelines_tests.tokenization.hub_child", str(folder / "data")],
        input=json.dumps(presets),
        env={**hub.environment(folder / "home"), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert GRANTED not in child.stdout + child.stderr
    return [json.loads(line) for line in child.stdout.splitlines()]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict]]:
    """What came of each preset, by name; `commit` holds the commits of the tokenizer."""
    with HubServer() as hub:
        old = hub.add_repository("user/tokenizer", FILES, kind="model")
        new = hub.commit("user/tokenizer", {"README.md": b"newer"}, kind="model")
        hub.add_repository("user/gated", FILES, kind="model", gated="auto")
        hub.add_repository("user/nothing", {"README.md": b"hello"}, kind="model")
        hub.allow(GRANTED, ["user/gated"])
        presets = [
            {"name": "newest", "tokenizer": "user/tokenizer"},
            {"name": "older", "tokenizer": "user/tokenizer", "tokenizer_revision": old},
            {"name": "no_repository", "tokenizer": "no/such"},
            {"name": "no_id", "tokenizer": "not an id/at all/"},
            {"name": "no_revision", "tokenizer": "user/tokenizer", "tokenizer_revision": "nope"},
            {"name": "no_tokenizer", "tokenizer": "user/nothing"},
            {"name": "gated", "tokenizer": "user/gated"},
            {"name": "granted", "tokenizer": "user/gated", "token_name": "MY_TOKEN"},
            {"name": "no_secret", "tokenizer": "user/gated", "token_name": "NO_TOKEN"},
        ]
        folder = tmp_path_factory.mktemp("hub")
        found = save_all(hub, folder, presets, MY_TOKEN=GRANTED)
        hub.stop()
        found += save_all(hub, folder, [{"name": "unreachable", "tokenizer": "user/other"}])
        yield {
            "commit": {"old": old, "new": new},
            **{
                preset["name"]: outcome
                for preset, outcome in zip([*presets, {"name": "unreachable"}], found, strict=True)
            },
        }


def test_a_preset_is_pinned_to_the_commit_that_its_revision_means_now(outcomes):
    assert outcomes["newest"]["tokenizer_revision"] == outcomes["commit"]["new"]
    assert outcomes["older"]["tokenizer_revision"] == outcomes["commit"]["old"]
    assert outcomes["newest"]["tokenizer_sha256"] == outcomes["older"]["tokenizer_sha256"]
    assert outcomes["newest"]["context_size"] == 1024


def test_a_gated_tokenizer_opens_with_the_secret_that_is_named(outcomes):
    assert outcomes["granted"]["tokenizer_sha256"] == outcomes["newest"]["tokenizer_sha256"]


@pytest.mark.parametrize(
    ("name", "code", "sentence"),
    [
        ("no_repository", "tokenizer_not_found", "There is no tokenizer no/such on the Hub"),
        ("no_id", "tokenizer_not_found", "There is no tokenizer not an id/at all/"),
        ("no_revision", "revision_not_found", "has no revision nope"),
        ("no_tokenizer", "tokenizer_not_found", "does not hold a tokenizer"),
        ("gated", "access_denied", "is gated"),
        ("no_secret", "secret_not_found", "NO_TOKEN"),
        ("unreachable", "hub_unreachable", "could not be reached"),
    ],
)
def test_each_refusal_has_its_own_sentence(name, code, sentence, outcomes):
    assert outcomes[name]["code"] == code
    assert sentence in outcomes[name]["message"]
    assert outcomes[name]["next_step"]
    assert outcomes[name]["transient"] == (name == "unreachable")

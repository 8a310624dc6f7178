"""The Hugging Face libraries keep inside the data folder and quiet."""

import json
import os
import subprocess
import sys

from mistudio_pipelines.hub.environment import cache_folders, prepare_environment
from mistudio_pipelines.store.layout import DataStore

PROGRAM = """
import json, sys
from pathlib import Path
from mistudio_pipelines.hub.environment import prepare_environment
from mistudio_pipelines.store.layout import DataStore

early = sys.argv[2] == "early"
if not early:
    import huggingface_hub.constants, datasets.config
prepare_environment(DataStore(Path(sys.argv[1])))
import huggingface_hub.constants as constants
import datasets.config as config
print(json.dumps({
    "hub": constants.HF_HUB_CACHE, "assets": constants.HF_ASSETS_CACHE, "xet": constants.HF_XET_CACHE,
    "datasets": str(config.HF_DATASETS_CACHE), "modules": str(config.HF_MODULES_CACHE),
    "home": constants.HF_HOME, "token": constants.HF_TOKEN_PATH,
    "quiet": [constants.HF_HUB_DISABLE_XET, constants.HF_HUB_DISABLE_TELEMETRY, constants.HF_HUB_DISABLE_PROGRESS_BARS],
}))
"""


def run(store, when, home):
    environment = {**os.environ, "HF_HOME": str(home)}
    command = [sys.executable, "-c", PROGRAM, str(store.root), when]
    return json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def test_caches_lie_in_the_data_folder_and_the_login_stays_where_it_is(tmp_path):
    store, home = DataStore(tmp_path / "data"), tmp_path / "home"
    for when in ("early", "late"):
        found = run(store, when, home)
        for name in ("hub", "assets", "xet", "datasets", "modules"):
            assert found[name].startswith(str(store.cache_root)), (when, name)
        assert found["home"] == str(home)
        assert found["token"] == str(home / "token")
        assert found["quiet"] == [True, True, True]


def test_a_second_call_may_point_elsewhere(tmp_path, monkeypatch):
    for name in cache_folders(DataStore(tmp_path)):
        monkeypatch.setenv(name, "restored afterwards")
    from huggingface_hub import constants

    for name in ("HF_HUB_CACHE", "HF_ASSETS_CACHE", "HF_XET_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.setattr(constants, name, "restored afterwards")
    for folder in ("one", "two", "two"):
        prepare_environment(DataStore(tmp_path / folder))
        assert str(tmp_path / folder / "cache" / "huggingface" / "hub") == os.environ["HF_HUB_CACHE"]
        assert os.environ["HF_HUB_CACHE"] == constants.HF_HUB_CACHE

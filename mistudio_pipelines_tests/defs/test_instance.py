"""The Dagster home: prepared once, and one download at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from mistudio_pipelines.defs.instance import ensure_download_limit, open_instance, prepare_home
from mistudio_pipelines.defs.launcher import WatchedRunLauncher
from mistudio_pipelines.errors import MistudioError


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "")


def test_a_prepared_home_queues_runs_watches_them_and_lets_one_download_run(tmp_path: Path) -> None:
    prepare_home(tmp_path / "home")
    with open_instance(tmp_path / "home") as instance:
        limits = {pool.name: pool.limit for pool in instance.event_log_storage.get_pool_limits()}
        assert limits == {"download": 1}
        assert isinstance(instance.run_launcher, WatchedRunLauncher)
        assert instance.run_monitoring_enabled
        assert instance.get_settings("telemetry") == {"enabled": False}


def test_preparing_again_keeps_what_a_person_changed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    prepare_home(home)
    configuration = (home / "dagster.yaml").read_text() + "\n# mine\n"
    (home / "dagster.yaml").write_text(configuration)
    with open_instance(home) as instance:
        instance.event_log_storage.set_concurrency_slots("download", 2)
    prepare_home(home)
    assert (home / "dagster.yaml").read_text() == configuration
    with open_instance(home) as instance:
        ensure_download_limit(instance)
        assert [pool.limit for pool in instance.event_log_storage.get_pool_limits()] == [2]


def test_a_folder_that_is_no_dagster_home_is_refused_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(MistudioError) as caught:
        open_instance(tmp_path)
    assert caught.value.code == "no_dagster_home"
    assert "mistudio up" in caught.value.next_step


def test_a_home_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MistudioError) as caught:
        prepare_home(tmp_path / "file" / "home")
    assert caught.value.code == "data_folder_unusable"

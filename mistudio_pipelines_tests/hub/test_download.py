"""Several files at once: what is on disk afterwards, and what was requested for it."""

import hashlib

from mistudio_pipelines.hub.download import download_files
from mistudio_pipelines.hub.repository import plan_repository
from mistudio_pipelines_tests.hub.conftest import texts_parquet


def download(client, plan, folder, **options):
    return download_files(client, plan.files, plan.revision, plan.repository, folder, floor_bytes=0, **options)


def test_files_arrive_whole_in_the_order_of_the_plan(hub, client, tmp_path):
    contents = {f"data/train-0000{number}-of-00003.parquet": texts_parquet(10 + number) for number in range(3)}
    hub.add_repository("user/name", {"README.md": b"# Card", **contents})
    plan = plan_repository(client, "user/name")
    files = download(client, plan, tmp_path / "files")
    assert [file.remote.path for file in files] == list(contents)
    for file in files:
        content = contents[file.remote.path]
        assert file.path.read_bytes() == content
        assert file.sha256 == hashlib.sha256(content).hexdigest()
        assert file.size == len(content)
    assert set((tmp_path / "files").iterdir()) == {file.path for file in files}


def test_what_is_there_already_is_not_requested_again(hub, client, tmp_path):
    hub.add_repository("user/name", {"train.jsonl": b'{"text": "one"}\n', "test.jsonl": b'{"text": "two"}\n'})
    plan = plan_repository(client, "user/name")
    first = download(client, plan, tmp_path / "files")
    hub.clear_requests()
    assert download(client, plan, tmp_path / "files") == first
    assert hub.requests == []

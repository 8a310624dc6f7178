"""The plan: everything is validated before any data is downloaded, and every refusal says what to do next."""

import gzip
import io
import json
import zipfile

import pytest

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.hub.client import HubClient
from mistudio_pipelines.hub.repository import CONVERT_BRANCH, check_repository_id, newest_revision, plan_repository
from mistudio_pipelines.hub.tree import list_tree
from mistudio_pipelines_tests.hub.conftest import parquet_bytes, texts_parquet

TOKEN = "hf_" + "aBc123XyZ" * 4
JSON_LINES = b"".join(json.dumps({"text": f"Text {number}"}).encode() + b"\n" for number in range(20))


def test_a_plan_says_what_a_download_would_fetch(hub, client):
    card = b"---\nlicense: mit\ntags: [stories]\n---\n# Stories\n"
    train, test = texts_parquet(100), texts_parquet(10)
    commit = hub.add_repository(
        "user/stories",
        {"README.md": card, "data/train-00000-of-00001.parquet": train, "data/test-00000-of-00001.parquet": test},
    )
    plan = plan_repository(client, "user/stories")
    assert plan.repository == "user/stories"
    assert plan.revision == commit
    assert (plan.requested_revision, plan.followed_revision) == (None, None)
    assert (plan.config, plan.configs) == (None, ("default",))
    assert plan.available_splits == tuple(plan.splits) == ("train", "test")
    assert (plan.file_format, dict(plan.reader_options)) == ("parquet", {})
    assert plan.text_column == "text"
    assert plan.columns == {"id": "int64", "text": "string"}
    assert plan.license == "mit"
    assert plan.download_bytes == len(train) + len(test)
    assert plan.pipeline_bytes > plan.download_bytes
    assert plan.last_modified
    assert not plan.via_convert_branch
    (file,) = plan.splits["train"]
    assert (file.path, file.size, file.git_sha1) == ("data/train-00000-of-00001.parquet", len(train), None)
    assert file.content_hash == f"sha256:{file.sha256}"
    assert f"/{commit}/" in file.url


def test_chosen_splits_only_are_fetched_and_counted(hub, client):
    hub.add_repository("user/name", {"train.jsonl": JSON_LINES * 10, "test.jsonl": JSON_LINES})
    plan = plan_repository(client, "user/name", splits=["test"])
    assert plan.available_splits == ("train", "test")
    assert list(plan.splits) == ["test"]
    assert plan.download_bytes == len(JSON_LINES)


def test_a_small_file_that_is_not_in_lfs_has_its_git_hash(hub, client):
    hub.add_repository("user/name", {"train.jsonl": JSON_LINES})
    (file,) = plan_repository(client, "user/name").files
    assert file.sha256 is None
    assert file.content_hash == f"git:{file.git_sha1}"


def test_no_data_is_downloaded_for_a_plan(hub, client):
    content = parquet_bytes({"text": [f"{number:0500d}" for number in range(20_000)]}, compression="none")
    hub.add_repository("user/name", {"train.parquet": content, "test.parquet": content})
    plan_repository(client, "user/name")
    assert hub.bytes_served("*.parquet") < len(content) / 4


def test_a_tree_of_many_pages_is_read_to_its_end(hub, client):
    hub.protocol.page_size = 7
    hub.add_repository("user/name", {f"data/{number:03d}.txt": b"x" for number in range(50)})
    assert len(plan_repository(client, "user/name").files) == 50


# Refusals


def refused(client, repository="user/name", **options):
    with pytest.raises(MistudioError) as caught:
        plan_repository(client, repository, **options)
    assert caught.value.next_step or caught.value.code == ErrorCode.REPOSITORY_NOT_FOUND
    return caught.value


@pytest.mark.parametrize(
    "repository",
    [
        "",
        "a/b/c",
        "user/na me",
        "user/../name",
        "user--name",
        "/name",
        "user/",
        "u" * 97,
        "user/name.git",
        "ü/x",
        "a\0",
    ],
)
def test_an_id_that_cannot_be_one_is_refused_without_a_request(hub, client, repository):
    assert refused(client, repository).code == ErrorCode.INVALID_ID
    with pytest.raises(MistudioError):
        newest_revision(client, repository)
    assert hub.requests == []


@pytest.mark.parametrize("repository", ["user/name", "name", "User-1/na_me.v2"])
def test_ids_of_the_hub_are_accepted(repository):
    assert check_repository_id(repository) == repository


def test_a_repository_that_is_not_there(hub, client):
    error = refused(client, "user/invalid-repo")
    assert error.code == ErrorCode.REPOSITORY_NOT_FOUND
    assert error.message == "Repository 'user/invalid-repo' not found. Please check the repository name and try again."
    assert "If it is private" in error.next_step
    assert "hf auth login" in error.next_step
    assert not error.transient


def test_a_private_repository_needs_a_token_that_may_read_it(hub, store, client, monkeypatch):
    hub.add_repository("user/name", {"train.jsonl": JSON_LINES}, private=True)
    assert refused(client).code == ErrorCode.REPOSITORY_NOT_FOUND  # the Hub does not say that it exists
    hub.allow(TOKEN, ["user/name"])
    monkeypatch.setenv("TEAM", TOKEN)
    assert (
        plan_repository(HubClient(store, token_name="TEAM", endpoint=hub.endpoint), "user/name").text_column == "text"
    )


def test_a_repository_that_asks_for_authentication(hub, client):
    hub.faults.fail("/api/datasets/user/name", 401, times=None)
    error = refused(client)
    assert error.code == ErrorCode.AUTHENTICATION_REQUIRED
    assert error.message == "Repository requires authentication. Please provide a valid HuggingFace access token."
    for way in ("HF_TOKEN", "hf auth login", "token_name"):
        assert way in error.next_step


def test_a_token_that_the_hub_does_not_know(hub, store, monkeypatch):
    hub.add_repository("user/name", {"train.jsonl": JSON_LINES})
    monkeypatch.setenv("TEAM", TOKEN)
    error = refused(HubClient(store, token_name="TEAM", endpoint=hub.endpoint))
    assert error.code == ErrorCode.AUTHENTICATION_REQUIRED
    assert "secret 'TEAM' was not accepted" in error.message
    assert TOKEN not in str(error)


def test_a_gated_repository_without_a_token(hub, client):
    hub.add_repository("user/name", {"train.jsonl": JSON_LINES}, gated=True)
    error = refused(client)
    assert error.code == ErrorCode.AUTHENTICATION_REQUIRED


def test_a_gated_repository_that_was_not_granted(hub, store, monkeypatch):
    hub.add_repository("user/name", {"train.jsonl": JSON_LINES}, gated="manual")
    hub.allow(TOKEN)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    error = refused(HubClient(store, endpoint=hub.endpoint))
    assert error.code == ErrorCode.ACCESS_DENIED
    assert error.message == "Access denied. Please request access to this gated dataset on HuggingFace."
    assert "https://huggingface.co/datasets/user/name" in error.next_step


def test_a_revision_that_is_not_there(hub, client):
    hub.add_repository("user/name", {"train.jsonl": JSON_LINES})
    error = refused(client, revision="v9")
    assert error.code == ErrorCode.REVISION_NOT_FOUND
    assert "no revision 'v9'" in error.message


def test_unknown_configs_and_splits_list_the_valid_ones(hub, client):
    hub.add_repository("user/name", {"train.jsonl": JSON_LINES, "test.jsonl": JSON_LINES})
    error = refused(client, config="fr")
    assert error.code == ErrorCode.UNKNOWN_SPLIT_OR_CONFIG
    assert "'default'" in error.next_step
    error = refused(client, splits=["dev"])
    assert error.code == ErrorCode.UNKNOWN_SPLIT_OR_CONFIG
    assert "'train', 'test'" in error.next_step


def test_columns_without_text_are_listed(hub, client):
    hub.add_repository("user/name", {"train.parquet": parquet_bytes({"id": [1], "label": [2]})})
    error = refused(client)
    assert error.code == ErrorCode.NO_TEXT_COLUMN
    assert "'id' (int64), 'label' (int64)" in error.message


def test_several_text_columns_are_listed_until_one_is_chosen(hub, client):
    hub.add_repository("user/name", {"train.parquet": parquet_bytes({"question": ["a"], "answer": ["b"]})})
    assert "'question', 'answer'" in refused(client).message
    assert plan_repository(client, "user/name", text_column="answer").text_column == "answer"
    assert "no column 'text'" in refused(client, text_column="text").message


def test_formats_without_text_rows_are_named(hub, client):
    hub.add_repository("user/name", {"train.tar": b"x"})
    error = refused(client)
    assert error.code == ErrorCode.UNSUPPORTED_FORMAT
    assert "'webdataset'" in error.message


def test_a_hub_that_fails_is_transient_whatever_the_library_would_say(hub, client):
    hub.add_repository("user/name", {"train.jsonl": JSON_LINES})
    hub.faults.fail("*", 503, times=None)
    error = refused(client)
    assert error.code == ErrorCode.HUB_UNREACHABLE
    assert error.transient


# Where files and columns come from


def test_the_card_says_what_a_file_cannot(hub, client):
    card = b"---\ndataset_info:\n  features:\n  - name: body\n    dtype: string\n---\n"
    hub.add_repository(
        "user/name", {"README.md": card, "train.jsonl": b'{"body": null}\n' * 200 + b'{"body": "late"}\n'}
    )
    assert plan_repository(client, "user/name").text_column == "body"


def test_a_config_of_the_card_is_planned(hub, client):
    card = b"---\nconfigs:\n- config_name: de\n  data_files: de/*.tsv\n- config_name: en\n  data_files: en/*.tsv\n---\n"
    hub.add_repository(
        "user/name", {"README.md": card, "de/a.tsv": b"id\ttext\n1\tja\n", "en/a.tsv": b"id\ttext\n1\tyes\n"}
    )
    assert refused(client).details["configs"] == ["de", "en"]
    plan = plan_repository(client, "user/name", config="en")
    assert (plan.config, plan.configs, plan.file_format) == ("en", ("de", "en"), "csv")
    assert plan.reader_options == {"sep": "\t"}
    assert [file.path for file in plan.files] == ["en/a.tsv"]


def test_the_standalone_yaml_wins_over_the_card(hub, client):
    yaml = b"configs:\n- config_name: only\n  data_files: b.txt\n"
    hub.add_repository("user/name", {".huggingface.yaml": yaml, "a.txt": b"a", "b.txt": b"b"})
    assert [file.path for file in plan_repository(client, "user/name").files] == ["b.txt"]


def test_an_archive_is_looked_into(hub, client):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("data.tsv", "id\ttext\n1\tx\n")
    hub.add_repository("user/name", {"train.zip": buffer.getvalue()})
    plan = plan_repository(client, "user/name")
    assert (plan.file_format, plan.reader_options, plan.text_column) == ("csv", {"sep": "\t"}, "text")


def test_columns_that_only_the_download_shows_need_a_name(hub, client):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("data.parquet", texts_parquet())
    hub.add_repository("user/name", {"train.zip": buffer.getvalue()})
    assert refused(client).code == ErrorCode.NO_TEXT_COLUMN
    plan = plan_repository(client, "user/name", text_column="text")
    assert (plan.file_format, plan.columns, plan.text_column) == ("parquet", {}, "text")


def test_the_size_of_the_pipeline_grows_with_the_text_inside(hub, client):
    text = b"".join(json.dumps({"text": "word " * 200}).encode() + b"\n" for _ in range(200))
    hub.add_repository("user/plain", {"train.jsonl": text})
    hub.add_repository("user/packed", {"train.jsonl.gz": gzip.compress(text)})
    plain, packed = plan_repository(client, "user/plain"), plan_repository(client, "user/packed")
    assert plain.pipeline_bytes / plain.download_bytes < packed.pipeline_bytes / packed.download_bytes


# Revisions


def test_a_branch_a_tag_and_a_commit_are_pinned_to_the_commit(hub, client):
    first = hub.add_repository("user/name", {"train.jsonl": JSON_LINES})
    hub.tag("user/name", "v1")
    second = hub.commit("user/name", {"test.jsonl": JSON_LINES})
    assert plan_repository(client, "user/name").revision == second
    assert plan_repository(client, "user/name", revision="main").available_splits == ("train", "test")
    for revision in ("v1", first):
        plan = plan_repository(client, "user/name", revision=revision)
        assert (plan.revision, plan.available_splits) == (first, ("train",))
        assert plan.followed_revision == revision


def test_the_newest_revision_is_one_request(hub, client):
    first = hub.add_repository("user/name", {"train.jsonl": JSON_LINES})
    hub.tag("user/name", "v1")
    second = hub.commit("user/name", {"train.jsonl": JSON_LINES * 2})
    hub.clear_requests()
    assert newest_revision(client, "user/name", None) == second
    assert len(hub.requests) == 1
    assert newest_revision(client, "user/name", "v1") == first


def test_a_moved_repository_is_planned_under_its_new_name(hub, client):
    hub.add_repository("user/old", {"train.jsonl": JSON_LINES})
    hub.move_repository("user/old", "user/new")
    plan = plan_repository(client, "user/old")
    assert plan.repository == "user/new"
    assert "/user/new/" in plan.files[0].url


# The Hub's own conversion

SCRIPT = {"name.py": b"raise SystemExit('never run')", "README.md": b"# Card"}
CONVERTED = {
    "en/train/0000.parquet": texts_parquet(),
    "en/test/0000.parquet": texts_parquet(),
    "de/train/0000.parquet": texts_parquet(),
}


def test_a_script_is_read_through_the_conversion_of_the_hub(hub, client):
    hub.add_repository("user/name", SCRIPT)
    converted = hub.add_repository("user/name", CONVERTED, revision=CONVERT_BRANCH)
    assert refused(client).details["configs"] == ["de", "en"]
    plan = plan_repository(client, "user/name", config="en")
    assert plan.via_convert_branch
    assert (plan.revision, plan.followed_revision) == (converted, CONVERT_BRANCH)
    assert {split: len(files) for split, files in plan.splits.items()} == {"train": 1, "test": 1}
    assert plan.configs == ("de", "en")
    assert newest_revision(client, "user/name", plan.followed_revision) == converted


def test_a_conversion_of_the_beginning_alone_is_said_to_be_one(hub, client):
    hub.add_repository("user/name", SCRIPT)
    files = {"default/partial-train/0000.parquet": texts_parquet(), "default/test/0000.parquet": texts_parquet()}
    hub.add_repository("user/name", files, revision=CONVERT_BRANCH)
    assert plan_repository(client, "user/name").partially_converted
    assert not plan_repository(client, "user/name", splits=["test"]).partially_converted


def test_the_pinned_commit_of_a_conversion_is_planned_alike_later(hub, client):
    hub.add_repository("user/name", SCRIPT)
    hub.add_repository("user/name", CONVERTED, revision=CONVERT_BRANCH)
    first = plan_repository(client, "user/name", config="en")
    hub.commit("user/name", {"en/train/0001.parquet": texts_parquet()}, branch=CONVERT_BRANCH)
    again = plan_repository(client, "user/name", config="en", revision=first.revision)
    assert again.files == first.files
    assert again.via_convert_branch
    assert len(plan_repository(client, "user/name", config="en").files) == 3


def test_a_script_without_a_conversion_is_never_run(hub, client):
    hub.add_repository("user/name", SCRIPT)
    error = refused(client)
    assert error.code == ErrorCode.UNSUPPORTED_FORMAT
    assert "name.py" in error.message
    assert "never run" in error.message


def test_an_old_revision_of_a_script_is_not_mixed_with_the_newest_conversion(hub, client):
    first = hub.add_repository("user/name", SCRIPT)
    hub.add_repository("user/name", CONVERTED, revision=CONVERT_BRANCH)
    assert "only its newest version is converted" in refused(client, revision=first).message


def test_a_format_that_is_not_read_here_comes_through_the_conversion(hub, client):
    hub.add_repository("user/name", {"train.tar": b"x"})
    hub.add_repository("user/name", {"default/train/0000.parquet": texts_parquet()}, revision=CONVERT_BRANCH)
    plan = plan_repository(client, "user/name")
    assert plan.via_convert_branch
    assert plan.text_column == "text"


def test_an_empty_first_shard_does_not_decide(hub, client):
    hub.add_repository("user/name", {"data/train-0.jsonl": b"", "data/train-1.jsonl": JSON_LINES})
    plan = plan_repository(client, "user/name")
    assert plan.text_column == "text"
    assert len(plan.files) == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"[]",
        b"{}",
        b'{"id": "user/name"}',
        b'{"id": "user/name", "sha": "../../x"}',
        b'{"id": 1, "sha": "%040d"}' % 0,
        b"[" * 100_000,
    ],
)
def test_an_answer_that_makes_no_sense_is_not_a_hub(hub, store, monkeypatch, answer):
    """A hotel's login page, a proxy, or a hostile mirror."""
    commit = hub.add_repository("user/name", {"answer.json": answer, "train.jsonl": JSON_LINES})
    client = HubClient(store, endpoint=hub.endpoint)
    address = client.file_url("user/name", commit, "answer.json")
    monkeypatch.setattr(client, "api_url", lambda *_: address)
    with pytest.raises(MistudioError, match="did not answer as a Hub does"):
        plan_repository(client, "user/name")


@pytest.mark.parametrize(
    "page",
    [b"{}", b"[1]", b'[{"type": "file"}]', b'[{"type": "file", "path": "a.txt", "size": "x", "oid": "0"}]', b"null"],
)
def test_a_list_of_files_that_makes_no_sense_is_not_a_hub(hub, store, monkeypatch, page):
    commit = hub.add_repository("user/name", {"page.json": page})
    client = HubClient(store, endpoint=hub.endpoint)
    address = client.file_url("user/name", commit, "page.json")
    monkeypatch.setattr(client, "api_url", lambda *_: address)
    if page == b"{}":  # no entries: an empty list
        assert list_tree(client, "user/name", commit) == {}
        return
    with pytest.raises(MistudioError, match="did not answer as a Hub does"):
        list_tree(client, "user/name", commit)


def test_paths_that_git_cannot_hold_are_left_out(hub, store, monkeypatch):
    paths = ["../a.txt", "/a.txt", "a//b.txt", "a/./b.txt", "", "a\0.txt", "x" * 5000, "fine.txt", "also fine/ü.txt"]
    page = json.dumps(
        [{"type": "file", "path": path, "size": 1, "oid": "0" * 40} for path in paths]
        + [{"type": "directory", "path": "a"}]
    )
    commit = hub.add_repository("user/name", {"page.json": page.encode()})
    client = HubClient(store, endpoint=hub.endpoint)
    address = client.file_url("user/name", commit, "page.json")
    monkeypatch.setattr(client, "api_url", lambda *_: address)
    assert list(list_tree(client, "user/name", commit)) == ["fine.txt", "also fine/ü.txt"]

"""What the local Hub tells about repositories."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from mistudio_pipelines_tests.hub_server import HubServer
from mistudio_pipelines_tests.local_hub.bare_client import api, ask, resolve
from mistudio_pipelines_tests.local_hub.repositories import Blob
from mistudio_pipelines_tests.local_hub.stock import CONTENT


def test_information_names_the_commit_and_every_file_with_its_size_and_hashes(stocked: HubServer) -> None:
    information = ask(api(stocked, "user/name?blobs=true")).json
    blob = Blob.of(CONTENT)
    siblings = {sibling.pop("rfilename"): sibling for sibling in information["siblings"]}
    assert information["id"] == "user/name"
    assert information["author"] == "user"
    assert information["cardData"]["license"] == "mit"
    assert len(information["sha"]) == 40
    assert list(siblings) == ["README.md", "data/more/notes.txt", "data/train.parquet"]
    assert siblings["data/more/notes.txt"] == {"size": 5, "blobId": Blob.of(b"notes").git_sha1}
    assert siblings["data/train.parquet"]["lfs"] == {
        "sha256": blob.sha256,
        "size": len(CONTENT),
        "pointerSize": len(blob.lfs_pointer),
    }


def test_information_is_limited_to_the_properties_that_were_asked_for(stocked: HubServer) -> None:
    information = ask(api(stocked, "user/name?expand=gated&expand=sha")).json
    assert set(information) == {"_id", "id", "gated", "sha"}


@pytest.mark.parametrize("readme", [b"no block", b"---\n: : [\n---\n", b"---\njust text\n---\n", b"\xff\xfe---"])
def test_a_readme_without_a_readable_yaml_block_gives_no_card(hub: HubServer, readme: bytes) -> None:
    hub.add_repository("user/name", {"README.md": readme})
    assert ask(api(hub, "user/name")).json["cardData"] is None


def test_models_and_datasets_of_the_same_name_are_two_repositories(hub: HubServer) -> None:
    hub.add_repository("user/name", {"config.json": b"{}"}, kind="model")
    assert ask(f"{hub.endpoint}/api/models/user/name").json["modelId"] == "user/name"
    assert ask(api(hub, "user/name")).status == 401
    assert ask(f"{hub.endpoint}/user/name/resolve/main/config.json").status == 307


@pytest.mark.parametrize("revision", ["refs%2Fconvert%2Fparquet", "refs/convert/parquet"])
def test_the_parquet_branch_is_found_however_its_slashes_are_written(stocked: HubServer, revision: str) -> None:
    commit = stocked.add_repository("user/name", {"default/train/0000.parquet": b"p"}, revision="refs/convert/parquet")
    assert ask(api(stocked, f"user/name/revision/{revision}")).json["sha"] == commit
    tree = ask(api(stocked, f"user/name/tree/{revision}/default?recursive=true")).json
    assert [entry["path"] for entry in tree] == ["default/train", "default/train/0000.parquet"]
    address = f"{stocked.endpoint}/datasets/user/name/resolve/{revision}/default/train/0000.parquet"
    assert ask(address, "HEAD").headers["x-repo-commit"] == commit


def test_branches_tags_and_commits_all_name_a_revision(stocked: HubServer) -> None:
    first = ask(api(stocked, "user/name")).json["sha"]
    stocked.tag("user/name", "v1.0")
    second = stocked.commit("user/name", {"data/train.parquet": b"new", "data/more/notes.txt": None})
    branch = stocked.commit("user/name", {"x.txt": b"x"}, branch="other")
    for revision, commit in {"main": second, "v1.0": first, first: first, "other": branch}.items():
        assert ask(api(stocked, f"user/name/revision/{revision}")).json["sha"] == commit
    files = {entry["path"] for entry in ask(api(stocked, "user/name/tree/main?recursive=true")).json}
    assert files == {"README.md", "data", "data/train.parquet"}
    old = ask(resolve(stocked, "data/more/notes.txt", first))
    assert ask(stocked.endpoint + old.headers["location"]).body == b"notes"


def test_references_list_branches_tags_and_conversions_apart(stocked: HubServer) -> None:
    main = ask(api(stocked, "user/name")).json["sha"]
    stocked.tag("user/name", "v1")
    converted = stocked.add_repository("user/name", {"a.parquet": b""}, revision="refs/convert/parquet")
    assert ask(api(stocked, "user/name/refs")).json == {
        "branches": [{"name": "main", "ref": "refs/heads/main", "targetCommit": main}],
        "tags": [{"name": "v1", "ref": "refs/tags/v1", "targetCommit": main}],
        "converts": [{"name": "parquet", "ref": "refs/convert/parquet", "targetCommit": converted}],
        "pullRequests": [],
    }


def test_commits_are_listed_newest_first(stocked: HubServer) -> None:
    first = ask(api(stocked, "user/name")).json["sha"]
    second = stocked.commit("user/name", {"a.txt": b"a"})
    commits = ask(api(stocked, "user/name/commits/main")).json
    assert [commit["id"] for commit in commits] == [second, first]
    assert commits[0]["title"] == "Change a.txt"


def test_the_same_content_gets_the_same_commit_after_a_restart() -> None:
    commits = {HubServer().add_repository("user/name", {"a.txt": b"a"}) for _ in range(2)}
    assert len(commits) == 1


def test_a_tree_shows_one_level_unless_it_is_asked_for_all(stocked: HubServer) -> None:
    flat = ask(api(stocked, "user/name/tree/main?recursive=false&expand=false")).json
    assert [(entry["type"], entry["path"]) for entry in flat] == [("file", "README.md"), ("directory", "data")]
    deep = ask(api(stocked, "user/name/tree/main/data?recursive=true&expand=true")).json
    assert [entry["path"] for entry in deep] == ["data/more", "data/more/notes.txt", "data/train.parquet"]
    blob = Blob.of(CONTENT)
    assert deep[2]["lfs"] == {"oid": blob.sha256, "size": len(CONTENT), "pointerSize": len(blob.lfs_pointer)}
    assert deep[2]["oid"] == Blob.of(blob.lfs_pointer).git_sha1
    assert {entry["lastCommit"]["title"] for entry in deep} == {"Add 3 files"}


def test_expanded_entries_name_the_commit_that_changed_them_last(stocked: HubServer) -> None:
    first = ask(api(stocked, "user/name")).json["sha"]
    second = stocked.commit("user/name", {"data/more/notes.txt": b"changed"})
    tree = ask(api(stocked, "user/name/tree/main?recursive=true&expand=true")).json
    commits = {entry["path"]: entry["lastCommit"]["id"] for entry in tree}
    assert commits == {
        "README.md": first,
        "data": second,
        "data/more": second,
        "data/more/notes.txt": second,
        "data/train.parquet": first,
    }


def test_a_tree_comes_in_pages_joined_by_link_headers(hub: HubServer) -> None:
    hub.protocol.page_size = 3
    names = [f"data/part {number:02}%.txt" for number in range(10)]
    hub.add_repository("user/name", dict.fromkeys(names, b""))
    address, sizes, found = api(hub, "user/name/tree/main/data?recursive=false&expand=false"), [], []
    while address:
        page = ask(address)
        sizes.append(len(page.json))
        found += [entry["path"] for entry in page.json]
        link = page.headers.get("link", "")
        assert not link or link.endswith('; rel="next"')
        address = link.partition(";")[0].strip("<>")
    assert sizes == [3, 3, 3, 1]
    assert found == names


def test_a_page_holds_1000_entries_or_50_expanded_ones(hub: HubServer) -> None:
    hub.add_repository("user/name", {f"{number:04}.txt": b"" for number in range(1001)})
    assert len(ask(api(hub, "user/name/tree/main?recursive=true")).json) == 1000
    assert len(ask(api(hub, "user/name/tree/main?expand=true")).json) == 50


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git to compare with")
def test_object_ids_are_those_that_git_gives(tmp_path: Path, hub: HubServer) -> None:
    files = {"b.txt": b"b", "a/x.txt": b"x", "a.txt": b"dot sorts before slash", "a/b/c/d": b"", "ü/é.md": b"\xff"}
    hub.add_repository("user/name", files)
    for path, content in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)

    def git(*arguments: str) -> str:
        command = ["git", "-c", "core.quotepath=off", "-c", "core.autocrlf=false", *arguments]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    git("init", "--quiet")
    git("add", ".")
    listing = git("ls-tree", "-r", "-t", git("write-tree").strip()).splitlines()
    expected = {line.partition("\t")[2]: line.split()[2] for line in listing}
    tree = ask(api(hub, "user/name/tree/main?recursive=true")).json
    assert {entry["path"]: entry["oid"] for entry in tree} == expected


def test_a_form_or_json_asks_for_some_paths_and_unknown_ones_are_left_out(stocked: HubServer) -> None:
    address = api(stocked, "user/name/paths-info/main")
    form = "paths=README.md&paths=data&paths=nope&expand=false"
    from_form = ask(address, "POST", form, Content_Type="application/x-www-form-urlencoded")
    value = json.dumps({"paths": ["README.md", "data", "nope"], "expand": False})
    from_json = ask(address, "POST", value, Content_Type="application/json")
    assert [(entry["type"], entry["path"]) for entry in from_form.json] == [
        ("file", "README.md"),
        ("directory", "data"),
    ]
    assert from_json.json == from_form.json

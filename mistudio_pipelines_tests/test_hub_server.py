"""The local Hub's protocol, seen from the wire: answers, redirects, access, ranges.

What goes wrong on purpose is in `test_hub_server_faults.py`, the real client libraries in `test_hub_server_clients.py`.
"""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mistudio_pipelines_tests.hub_server import HubServer
from mistudio_pipelines_tests.local_hub.bare_client import api, ask, resolve
from mistudio_pipelines_tests.local_hub.repositories import Blob
from mistudio_pipelines_tests.local_hub.transport import Span, block_ends, requested_span

PARQUET = bytes(range(256)) * 40
README = b"---\nlicense: mit\nconfigs:\n- config_name: default\n---\n# Hello\n"


@pytest.fixture
def stocked(hub: HubServer) -> HubServer:
    """A Hub with one dataset."""
    files = {"README.md": README, "data/train.parquet": PARQUET, "data/more/notes.txt": b"notes"}
    hub.add_repository("user/name", files)
    return hub


# What a repository is and holds


def test_information_names_the_commit_and_every_file_with_its_size_and_hashes(stocked: HubServer) -> None:
    information = ask(api(stocked, "user/name?blobs=true")).json
    blob = Blob.of(PARQUET)
    siblings = {sibling.pop("rfilename"): sibling for sibling in information["siblings"]}
    assert information["id"] == "user/name"
    assert information["author"] == "user"
    assert information["cardData"]["license"] == "mit"
    assert len(information["sha"]) == 40
    assert list(siblings) == ["README.md", "data/more/notes.txt", "data/train.parquet"]
    assert siblings["data/more/notes.txt"] == {"size": 5, "blobId": Blob.of(b"notes").git_sha1}
    assert siblings["data/train.parquet"]["lfs"] == {
        "sha256": blob.sha256,
        "size": len(PARQUET),
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
    blob = Blob.of(PARQUET)
    assert deep[2]["lfs"] == {"oid": blob.sha256, "size": len(PARQUET), "pointerSize": len(blob.lfs_pointer)}
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


# Who may read what


def test_a_missing_repository_is_401_without_and_404_with_a_token(hub: HubServer) -> None:
    hub.allow("hf_known")
    for address in (api(hub, "no/such"), api(hub, "no/such/tree/main"), resolve(hub, "a", repository_id="no/such")):
        anonymous, known = ask(address), ask(address, token="hf_known")
        assert (anonymous.status, anonymous.headers["x-error-code"]) == (401, "RepoNotFound")
        assert (known.status, known.headers["x-error-code"]) == (404, "RepoNotFound")
        assert known.json == {"error": "Repository not found"}


def test_an_unknown_token_is_refused_even_for_public_repositories(stocked: HubServer) -> None:
    reply = ask(api(stocked, "user/name"), token="hf_wrong")
    assert reply.status == 401
    assert reply.headers["x-error-message"] == "Invalid credentials in Authorization header"
    assert "x-error-code" not in reply.headers
    stocked.allow("hf_wrong")
    assert ask(api(stocked, "user/name"), token="hf_wrong").status == 200
    stocked.revoke("hf_wrong")
    assert ask(api(stocked, "user/name"), token="hf_wrong").status == 401


def test_missing_revisions_entries_and_folders_have_codes_of_their_own(stocked: HubServer) -> None:
    commit = ask(api(stocked, "user/name")).json["sha"]
    for address in (api(stocked, "user/name/revision/nope"), api(stocked, "user/name/tree/refs%2Fconvert%2Fparquet")):
        reply = ask(address)
        assert (reply.status, reply.headers["x-error-code"]) == (404, "RevisionNotFound")
    entry = ask(resolve(stocked, "nope.txt"), "HEAD")
    assert (entry.status, entry.headers["x-error-code"]) == (404, "EntryNotFound")
    assert entry.headers["x-repo-commit"] == commit
    assert ask(api(stocked, "user/name/tree/main/nope")).headers["x-error-code"] == "EntryNotFound"


def test_files_of_a_gated_repository_are_for_granted_tokens_only(hub: HubServer) -> None:
    hub.add_repository("user/gated", {"README.md": README, "a.txt": b"secret", "a.parquet": PARQUET}, gated=True)
    hub.allow("hf_granted", {"user/gated"})
    hub.allow("hf_other")
    for path in ("a.txt", "a.parquet"):
        address = resolve(hub, path, repository_id="user/gated")
        anonymous, other, granted = ask(address), ask(address, token="hf_other"), ask(address, token="hf_granted")
        assert (anonymous.status, anonymous.headers["x-error-code"]) == (401, "GatedRepo")
        assert (other.status, other.headers["x-error-code"]) == (403, "GatedRepo")
        assert granted.status == (200 if path == "a.txt" else 302)
    check = api(hub, "user/gated/auth-check")
    assert [ask(check, token=token).status for token in (None, "hf_other", "hf_granted")] == [401, 403, 200]


def test_everybody_sees_what_a_gated_repository_holds_and_reads_its_readme(hub: HubServer) -> None:
    hub.add_repository("user/gated", {"README.md": README, "a.txt": b"secret"}, gated="auto")
    assert ask(api(hub, "user/gated")).json["gated"] == "auto"
    assert len(ask(api(hub, "user/gated/tree/main")).json) == 2
    assert ask(resolve(hub, "README.md", repository_id="user/gated")).body == README


def test_a_private_repository_looks_missing_to_those_who_may_not_read_it(hub: HubServer) -> None:
    hub.add_repository("user/private", {"a.txt": b"secret"}, private=True)
    hub.allow("hf_granted", {"user/private"})
    hub.allow("hf_other")
    for address in (api(hub, "user/private"), resolve(hub, "a.txt", repository_id="user/private")):
        assert [ask(address, token=token).status for token in (None, "hf_other", "hf_granted")] == [401, 404, 200]


def test_a_token_is_told_whose_it_is(hub: HubServer) -> None:
    hub.allow("hf_known")
    address = f"{hub.endpoint}/api/whoami-v2"
    assert ask(address, token="hf_known").json["auth"]["accessToken"]["role"] == "read"
    assert [ask(address).status, ask(address, token="hf_wrong").status] == [401, 401]


def test_the_old_name_of_a_repository_redirects_to_its_new_one(hub: HubServer) -> None:
    hub.add_repository("squad", {"a.txt": b"a"})
    hub.move_repository("squad", "rajpurkar/squad")
    for address, target in (
        ("/api/datasets/squad?blobs=true", "/api/datasets/rajpurkar/squad?blobs=true"),
        ("/api/datasets/squad/tree/main", "/api/datasets/rajpurkar/squad/tree/main"),
        ("/datasets/squad/resolve/main/a.txt", "/datasets/rajpurkar/squad/resolve/main/a.txt"),
    ):
        reply = ask(hub.endpoint + address, token=None)
        assert (reply.status, reply.headers["location"]) == (307, target)


def test_a_removed_repository_is_missing(stocked: HubServer) -> None:
    stocked.remove_repository("user/name")
    assert ask(api(stocked, "user/name")).status == 401


@pytest.mark.parametrize("path", ["/", "/api", "/api/spaces/a/b", "/api/datasets/a/b/nope/main", "/datasets", "/x/y"])
def test_addresses_that_the_hub_does_not_have_are_404(stocked: HubServer, path: str) -> None:
    stocked.allow("hf_known")
    assert ask(stocked.endpoint + path, token="hf_known").status == 404


def test_nonsense_is_a_bad_request(stocked: HubServer) -> None:
    assert ask(api(stocked, "user/name/tree/main?cursor=x")).status == 400
    assert ask(api(stocked, "user/name/paths-info/main"), "POST", "[", Content_Type="application/json").status == 400


def test_an_error_message_that_repeats_a_strange_name_cannot_break_the_headers(stocked: HubServer) -> None:
    reply = ask(api(stocked, "user/name/revision/" + quote("ü\r\nX-Evil: 1\u2028", safe="")))
    assert reply.status == 404
    assert "x-evil" not in reply.headers
    assert reply.json["error"] == "Invalid rev id: ü\r\nX-Evil: 1\u2028"


def test_each_answer_of_the_hub_says_how_many_requests_are_left(stocked: HubServer) -> None:
    assert ask(api(stocked, "user/name")).headers["ratelimit"].startswith('"api";r=')
    assert ask(resolve(stocked, "README.md")).headers["ratelimit"].startswith('"resolvers";r=')


# Files


def test_an_lfs_file_redirects_to_the_second_origin_with_its_size_and_sha256(stocked: HubServer) -> None:
    reply = ask(resolve(stocked, "data/train.parquet"), "HEAD")
    assert reply.status == 302
    assert reply.headers["x-linked-size"] == str(len(PARQUET))
    assert reply.headers["x-linked-etag"] == f'"{Blob.of(PARQUET).sha256}"'
    assert reply.headers["x-repo-commit"] == ask(api(stocked, "user/name")).json["sha"]
    assert reply.headers["location"].startswith(stocked.cdn_endpoint)
    assert not [name for name in reply.headers if "xet" in name.lower()]
    content = ask(reply.headers["location"])
    assert (content.status, content.body) == (200, PARQUET)
    assert content.headers["etag"].strip('"') not in reply.headers["x-linked-etag"]


def test_the_second_origin_wants_its_link_and_no_authorization(stocked: HubServer) -> None:
    location = ask(resolve(stocked, "data/train.parquet")).headers["location"]
    assert ask(location, token="hf_any").status == 400
    assert ask(location.partition("?")[0]).status == 403
    assert ask(location.replace("train", "other")).status == 403
    assert ask(f"{stocked.cdn_endpoint}/").status == 403
    stocked.protocol.links.lifetime = -1.0
    expired = ask(ask(resolve(stocked, "data/train.parquet")).headers["location"])
    assert (expired.status, b"expired" in expired.body) == (403, True)


def test_a_file_outside_lfs_redirects_to_an_address_with_its_commit(stocked: HubServer) -> None:
    commit = ask(api(stocked, "user/name")).json["sha"]
    reply = ask(resolve(stocked, "data/more/notes.txt"), "HEAD")
    assert reply.status == 307
    assert reply.headers["location"] == f"/api/resolve-cache/datasets/user/name/{commit}/data/more/notes.txt"
    stocked.commit("user/name", {"data/more/notes.txt": b"newer"})
    content = ask(stocked.endpoint + reply.headers["location"])
    assert (content.status, content.body) == (200, b"notes")
    assert content.headers["x-repo-commit"] == commit
    assert content.headers["etag"] == f'"{Blob.of(b"notes").git_sha1}"'
    assert content.headers["content-length"] == "5"


def test_private_empty_and_namespaceless_files_are_served_at_once(hub: HubServer) -> None:
    hub.add_repository("user/name", {"empty.txt": b""})
    hub.add_repository("bare", {"a.txt": b"a"})
    assert ask(resolve(hub, "empty.txt")).status == 200
    assert ask(resolve(hub, "a.txt", repository_id="bare")).body == b"a"
    assert ask(api(hub, "bare")).json["author"] is None


def test_size_and_name_decide_what_lies_in_lfs(hub: HubServer) -> None:
    files = {"small.txt": b"1234", "large.txt": b"12345", "small.special": b"1"}
    hub.add_repository("user/name", files, lfs_threshold=5, lfs_suffixes=(".special",))
    statuses = {name: ask(resolve(hub, name), "HEAD").status for name in files}
    assert statuses == {"small.txt": 307, "large.txt": 302, "small.special": 302}


@pytest.mark.parametrize("name", ["with space.txt", "100%.txt", "a#b?c&d.txt", 'q"uote.txt', "文件/ü.parquet", "+.txt"])
def test_any_file_name_can_be_listed_and_read(hub: HubServer, name: str) -> None:
    hub.add_repository("user/name", {name: b"content"})
    assert name in [entry["path"] for entry in ask(api(hub, "user/name/tree/main?recursive=true")).json]
    location = ask(resolve(hub, name)).headers["location"]
    assert ask(location if location.startswith("http") else hub.endpoint + location).body == b"content"


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [("bytes=0-0", 0, 1), ("bytes=5-", 5, None), ("bytes=-7", -7, None), ("bytes=100-99999999", 100, None)],
)
def test_a_range_is_answered_with_206_and_its_place(
    hub: HubServer, tmp_path: Path, on_disk: bool, asked: str, start: int, end: int | None
) -> None:
    (tmp_path / "x").write_bytes(PARQUET)
    hub.add_repository("user/name", {"x.parquet": tmp_path / "x" if on_disk else PARQUET})
    reply = ask(ask(resolve(hub, "x.parquet")).headers["location"], Range=asked)
    expected = PARQUET[start:end]
    first = start % len(PARQUET)
    assert (reply.status, reply.body) == (206, expected)
    assert reply.headers["content-range"] == f"bytes {first}-{first + len(expected) - 1}/{len(PARQUET)}"
    assert reply.headers["content-length"] == str(len(expected))


@pytest.mark.parametrize("asked", [f"bytes={len(PARQUET)}-", "bytes=-0"])
def test_a_range_after_the_end_is_416_with_the_size(stocked: HubServer, asked: str) -> None:
    reply = ask(ask(resolve(stocked, "data/train.parquet")).headers["location"], Range=asked)
    assert (reply.status, reply.body) == (416, b"")
    assert reply.headers["content-range"] == f"bytes */{len(PARQUET)}"


@pytest.mark.parametrize("asked", ["bytes=0-1,3-4", "bytes=9-2", "bytes=-", "lines=1-2", "bytes=a-b"])
def test_a_range_that_makes_no_sense_gets_the_whole(stocked: HubServer, asked: str) -> None:
    assert ask(ask(resolve(stocked, "data/train.parquet")).headers["location"], Range=asked).status == 200


def test_if_range_wants_the_very_etag_of_the_origin_that_answers(stocked: HubServer) -> None:
    linked = ask(resolve(stocked, "data/train.parquet"))
    location = linked.headers["location"]
    etag = ask(location, "HEAD").headers["etag"]
    assert ask(location, Range="bytes=5-", If_Range=etag).status == 206
    for other in ('"old"', f"W/{etag}", linked.headers["x-linked-etag"], "Sat, 29 Oct 1994 19:43:31 GMT"):
        reply = ask(location, Range="bytes=5-", If_Range=other)
        assert (reply.status, reply.body) == (200, PARQUET)


@given(size=st.integers(0, 40), first=st.none() | st.integers(0, 50), last=st.none() | st.integers(0, 50))
def test_a_span_is_what_slicing_gives(size: int, first: int | None, last: int | None) -> None:
    content = bytes(range(size))
    span = requested_span(f"bytes={'' if first is None else first}-{'' if last is None else last}", size)
    if first is None:
        expected = content[-last:] if last else b""
    else:
        expected = content[first : None if last is None else last + 1]
    if isinstance(span, Span):
        assert expected
        assert content[span.start : span.start + span.length] == expected
    else:
        assert not expected


@given(length=st.integers(0, 200), size=st.integers(1, 50), stops=st.frozensets(st.integers(-5, 250), max_size=3))
def test_blocks_cover_a_body_and_end_at_each_stop(length: int, size: int, stops: frozenset[int]) -> None:
    ends = list(block_ends(length, size, stops))
    starts = [0, *ends]
    assert all(0 < end - start <= size for start, end in zip(starts, ends, strict=False))
    assert starts[-1] == length
    assert {stop for stop in stops if 0 < stop < length} <= set(ends)


def test_one_connection_serves_many_requests(stocked: HubServer) -> None:
    connection = http.client.HTTPConnection(urlsplit(stocked.endpoint).netloc, timeout=20)
    sockets = set()
    for method, path in (
        ("GET", "/api/datasets/user/name"),
        ("HEAD", "/datasets/user/name/resolve/main/README.md"),
    ) * 2:
        connection.request(method, path)
        sockets.add(connection.sock)
        connection.getresponse().read()
    assert len(sockets) == 1


def test_a_file_on_disk_is_hashed_in_one_pass_and_never_held(hub: HubServer, tmp_path: Path) -> None:
    content = b"".join(number.to_bytes(4, "big") for number in range(700_000))  # more than a block, not a multiple
    (tmp_path / "big").write_bytes(content)
    blob = Blob.of(tmp_path / "big")
    assert (blob.sha256, blob.git_sha1, blob.size) == (Blob.of(content).sha256, Blob.of(content).git_sha1, len(content))
    assert blob.source == tmp_path / "big"
    hub.add_repository("user/name", {"big.bin": tmp_path / "big"})
    assert ask(ask(resolve(hub, "big.bin")).headers["location"]).body == content

"""Who may read what at the local Hub, and how it words its refusals."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from mistudio_pipelines_tests.hub_server import HubServer
from mistudio_pipelines_tests.local_hub.bare_client import api, ask, resolve
from mistudio_pipelines_tests.local_hub.stock import CONTENT, README


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
    hub.add_repository("user/gated", {"README.md": README, "a.txt": b"secret", "a.parquet": CONTENT}, gated=True)
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
        reply = ask(hub.endpoint + address)
        assert (reply.status, reply.headers["location"]) == (307, target)
    hub.add_repository("squad", {"b.txt": b"b"})  # somebody else may take the old name
    assert ask(api(hub, "squad")).json["id"] == "squad"


def test_a_removed_repository_is_missing(stocked: HubServer) -> None:
    stocked.remove_repository("user/name")
    assert ask(api(stocked, "user/name")).status == 401


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api",
        "/api/spaces/a/b",
        "/api/datasets/a/b/nope/main",
        "/datasets",
        "/x/y",
        "/api/resolve-cache/datasets",
        "/api/resolve-cache/datasets/user/name/nope/x",
    ],
)
def test_addresses_that_the_hub_does_not_have_are_404(stocked: HubServer, path: str) -> None:
    stocked.allow("hf_known")
    assert ask(stocked.endpoint + path, token="hf_known").status == 404


def test_nonsense_is_a_bad_request(stocked: HubServer) -> None:
    assert ask(api(stocked, "user/name/tree/main?cursor=x")).status == 400
    for body in ("[", "[]", "\udcff"):
        content = body.encode("utf-8", "surrogateescape").decode("latin-1")
        reply = ask(api(stocked, "user/name/paths-info/main"), "POST", content, Content_Type="application/json")
        assert reply.status == 400


def test_an_error_message_that_repeats_a_strange_name_cannot_break_the_headers(stocked: HubServer) -> None:
    reply = ask(api(stocked, "user/name/revision/" + quote("ü\r\nX-Evil: 1\u2028", safe="")))
    assert reply.status == 404
    assert "x-evil" not in reply.headers
    assert reply.json["error"] == "Invalid rev id: ü\r\nX-Evil: 1\u2028"


def test_each_answer_of_the_hub_says_how_many_requests_are_left(stocked: HubServer) -> None:
    assert ask(api(stocked, "user/name")).headers["ratelimit"].startswith('"api";r=')
    assert ask(resolve(stocked, "README.md")).headers["ratelimit"].startswith('"resolvers";r=')

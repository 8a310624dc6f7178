"""The answers of the Hub: which request gets which status, headers and body.

What belongs here: the Hub's HTTP interface as `huggingface_hub` 2, `datasets` 5 and `transformers` 5 use it, as a
function from a request to an answer. What does not: sockets, ranges and faults of bodies (`hub_transport.py`).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlencode

from mistudio_pipelines_tests.hub_faults import Faults
from mistudio_pipelines_tests.hub_repositories import (
    MAIN,
    Blob,
    Commit,
    CommitHeader,
    Entry,
    Kind,
    Repositories,
    Repository,
    git_object_id,
)

OPERATIONS = frozenset({"revision", "tree", "paths-info", "refs", "commits", "auth-check"})
PAGE_SIZE = 1000
EXPANDED_PAGE_SIZE = 50
_COMMIT_ID = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Question:
    """A request without its transport: `path` is still percent-encoded."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def parameters(self) -> dict[str, list[str]]:
        return parse_qs(self.query, keep_blank_values=True)

    def flag(self, name: str) -> bool:
        return self.parameters.get(name, ["false"])[-1].lower() in ("true", "1")

    @property
    def token(self) -> str | None:
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token if scheme.lower() == "bearer" and token else None


@dataclass(frozen=True)
class Answer:
    """Status, headers and body; a `Blob` body may be asked for in ranges."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | Blob = b""


class HubError(Exception):
    """An error answer, as the Hub words it."""

    def __init__(self, status: int, code: str | None, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def answer(self) -> Answer:
        headers = {"Content-Type": "application/json; charset=utf-8", "X-Error-Message": self.message, **self.headers}
        if self.code:
            headers["X-Error-Code"] = self.code
        return Answer(self.status, headers, json.dumps({"error": self.message}).encode())


def json_answer(value: Any, **headers: str) -> Answer:
    """A JSON body."""
    return Answer(200, {"Content-Type": "application/json; charset=utf-8", **headers}, json.dumps(value).encode())


class Protocol:
    """Answers requests to both origins from the repositories.

    Args:
        repositories: What there is.
        faults: Only its swapped contents matter here.
    """

    def __init__(self, repositories: Repositories, faults: Faults) -> None:
        self.repositories = repositories
        self.faults = faults
        self.tokens: dict[str, frozenset[str]] = {}
        self.page_size: int | None = None
        self.link_lifetime = 3600.0
        self.endpoint = ""
        self.cdn_endpoint = ""
        self._signing_key = secrets.token_bytes(16)

    # The first origin

    def answer_hub(self, question: Question) -> Answer:
        """The answer of the Hub itself."""
        try:
            answer = self._route(question)
        except HubError as error:
            answer = error.answer()
        limit = "resolvers" if "/resolve/" in question.path else "api"
        policy = {"RateLimit": f'"{limit}";r=2999;t=300', "RateLimit-Policy": f'"fixed window";"{limit}";q=3000;w=300'}
        return Answer(answer.status, {**policy, **answer.headers}, answer.body)

    def _route(self, question: Question) -> Answer:
        if question.token is not None and question.token not in self.tokens:
            raise HubError(401, None, "Invalid credentials in Authorization header")
        segments = question.path.strip("/").split("/")
        if segments[0] == "api":
            return self._route_api(question, segments[1:])
        kind: Kind = "dataset" if segments[0] == "datasets" else "model"
        names = segments[1:] if kind == "dataset" else segments
        if "resolve" in names[1:3]:
            at = names.index("resolve", 1)
            revision, path = _split_revision(names[at + 1 :])
            return self._resolve(question, kind, unquote("/".join(names[:at])), revision, path)
        raise HubError(404, None, "Sorry, we can't find the page you are looking for.")

    def _route_api(self, question: Question, segments: list[str]) -> Answer:
        match segments:
            case ["whoami-v2"]:
                return self._who_am_i(question)
            case ["agent-harnesses"]:  # the client asks for it once, to name itself in its User-Agent
                return json_answer({"harnesses": []})
            case ["resolve-cache", ("datasets" | "models") as kinds, *names]:
                at = next((i for i, name in enumerate(names) if _COMMIT_ID.fullmatch(name)), 0)
                path = unquote("/".join(names[at + 1 :]))
                return self._file(question, _kind(kinds), unquote("/".join(names[:at])), names[at], path)
            case [("datasets" | "models") as kinds, name, *rest] if not rest or rest[0] in OPERATIONS:
                return self._about(question, self._repository(question, _kind(kinds), unquote(name)), rest)
            case [("datasets" | "models") as kinds, namespace, name, *rest]:
                repository_id = unquote(f"{namespace}/{name}")
                return self._about(question, self._repository(question, _kind(kinds), repository_id), rest)
        raise HubError(404, None, "Not found")

    def _about(self, question: Question, repository: Repository, rest: list[str]) -> Answer:
        operation = rest[0] if rest else "revision"
        if operation == "refs":
            return self._references(repository)
        if operation == "auth-check":
            self._check_gate(question, repository)
            return json_answer({})
        revision, path = _split_revision(rest[1:])
        commit = _commit(repository, revision)
        match operation:
            case "revision":
                return self._information(question, repository, commit, revision)
            case "tree":
                return self._tree(question, repository, commit, revision, path)
            case "paths-info":
                return self._paths_information(question, repository, commit, revision)
            case "commits":
                return json_answer([_commit_json(each.header) for each in repository.history(commit)])
        raise HubError(404, None, "Not found")

    # Who may read what

    def _repository(self, question: Question, kind: Kind, repository_id: str) -> Repository:
        moved = self.repositories.moved_to(kind, repository_id)
        if moved is not None:
            raise _Moved(question, repository_id, moved)
        repository = self.repositories.find(kind, repository_id)
        if repository is not None and not (repository.private and not self._granted(question, repository)):
            return repository
        if question.token is None:
            raise HubError(401, "RepoNotFound", "Invalid username or password.")
        raise HubError(404, "RepoNotFound", "Repository not found")

    def _granted(self, question: Question, repository: Repository) -> bool:
        return repository.id in self.tokens.get(question.token or "", frozenset())

    def _check_gate(self, question: Question, repository: Repository) -> None:
        if not repository.gated or self._granted(question, repository):
            return
        what = f"Access to {repository.kind} {repository.id} is restricted"
        if question.token is None:
            message = f"{what}. You must have access to it and be authenticated to access it. Please log in."
            raise HubError(401, "GatedRepo", message)
        page = f"{self.endpoint}/{'datasets/' if repository.kind == 'dataset' else ''}{repository.id}"
        raise HubError(
            403, "GatedRepo", f"{what} and you are not in the authorized list. Visit {page} to ask for access."
        )

    def _who_am_i(self, question: Question) -> Answer:
        if question.token is None:
            raise HubError(401, None, "Invalid username or password.")
        token = {"displayName": "local", "role": "read"}
        return json_answer(
            {
                "type": "user",
                "id": "0",
                "name": "local-user",
                "fullname": "Local User",
                "isPro": False,
                "orgs": [],
                "auth": {"type": "access_token", "accessToken": token},
            }
        )

    # Files

    def _resolve(self, question: Question, kind: Kind, repository_id: str, revision: str, path: str) -> Answer:
        """HEAD or GET of a file.

        LFS files redirect to the second origin, others to an address that names their commit; private, gated and
        empty files, and those of repositories without a namespace, are served at once.
        """
        repository, commit, entry = self._find_file(question, kind, repository_id, revision, path)
        direct = repository.private or repository.gated or "/" not in repository.id or not entry.blob.size
        if direct and not entry.lfs:
            return self._file(question, kind, repository_id, revision, path)
        location = (
            self._signed_link(repository, entry, path)
            if entry.lfs
            else f"/api/resolve-cache/{kind}s/{quote(repository.id)}/{commit.header.id}/{quote(path)}"
        )
        linked = entry.blob.sha256 if entry.lfs else entry.oid
        headers = {
            "Location": location,
            "Content-Type": "text/plain; charset=utf-8",
            "X-Repo-Commit": commit.header.id,
            "X-Linked-Size": str(entry.blob.size),
            "X-Linked-ETag": f'"{linked}"',
            "Accept-Ranges": "bytes",
        }
        status = 302 if entry.lfs else 307
        return Answer(status, headers, f"Redirecting to {location}".encode())

    def _file(self, question: Question, kind: Kind, repository_id: str, revision: str, path: str) -> Answer:
        """The bytes of a file that is not in LFS."""
        _, commit, entry = self._find_file(question, kind, repository_id, revision, path)
        headers = {"X-Repo-Commit": commit.header.id, "ETag": f'"{entry.oid}"', **_file_headers(path)}
        return Answer(200, headers, entry.blob)

    def _find_file(
        self, question: Question, kind: Kind, repository_id: str, revision: str, path: str
    ) -> tuple[Repository, Commit, Entry]:
        repository = self._repository(question, kind, repository_id)
        if path != "README.md":  # everybody may read what they are about to ask access for
            self._check_gate(question, repository)
        commit = _commit(repository, revision)
        entry = self._entry(repository, commit, revision, path)
        if entry is None:
            raise HubError(404, "EntryNotFound", "Entry not found", X_Repo_Commit=commit.header.id)
        return repository, commit, entry

    def _entry(self, repository: Repository, commit: Commit, revision: str, path: str) -> Entry | None:
        entry = commit.files.get(path)
        if entry is None:
            return None
        prefix = "/datasets" if repository.kind == "dataset" else ""
        swapped = self.faults.swapped(f"{prefix}/{repository.id}/resolve/{revision}/{path}")
        return entry if swapped is None else Entry(swapped, entry.lfs, entry.last_commit)

    # The second origin

    def _signed_link(self, repository: Repository, entry: Entry, path: str) -> str:
        address = f"/{repository.kind}s/{quote(repository.id)}/{entry.blob.sha256}/{quote(path)}"
        expires = f"{time.time() + self.link_lifetime:.3f}"
        query = urlencode({"Expires": expires, "Signature": self._signature(address, expires)})
        return f"{self.cdn_endpoint}{address}?{query}"

    def _signature(self, address: str, expires: str) -> str:
        return hmac.new(self._signing_key, f"{address}?{expires}".encode(), hashlib.sha256).hexdigest()

    def answer_cdn(self, question: Question) -> Answer:
        """The answer of the second origin: signed, content-addressed links, and no Authorization header."""
        if "authorization" in question.headers:
            return _xml_error(400, "InvalidArgument", "Only one auth mechanism allowed")
        expires = question.parameters.get("Expires", ["0"])[-1]
        signature = question.parameters.get("Signature", [""])[-1]
        if not hmac.compare_digest(signature.encode(), self._signature(question.path, expires).encode()):
            return _xml_error(403, "SignatureDoesNotMatch", "The link is not signed by this Hub")
        if float(expires) < time.time():
            return _xml_error(403, "AccessDenied", "Request has expired")
        kind, *names = (unquote(segment) for segment in question.path.strip("/").split("/"))
        at = next(i for i, name in enumerate(names) if len(name) == 64)
        path = "/".join(names[at + 1 :])
        blob = self.faults.swapped(unquote(question.path)) or self._stored_blob(
            _kind(kind), "/".join(names[:at]), path, names[at]
        )
        if blob is None:
            return _xml_error(404, "NoSuchKey", "The specified key does not exist.")
        # An ETag of its own, as object stores have: the X-Linked-ETag of the Hub is of no use in If-Range here.
        return Answer(200, {"ETag": f'"{blob.sha256[:32]}-1"', **_file_headers(path)}, blob)

    def _stored_blob(self, kind: Kind, repository_id: str, path: str, sha256: str) -> Blob | None:
        repository = self.repositories.find(kind, repository_id)
        for commit in list(repository.commits.values()) if repository else []:
            entry = commit.files.get(path)
            if entry is not None and entry.blob.sha256 == sha256:
                return entry.blob
        return None

    # What a repository is and holds

    def _information(self, question: Question, repository: Repository, commit: Commit, revision: str) -> Answer:
        entries = {path: self._entry(repository, commit, revision, path) for path in commit.files}
        size = sum(entry.blob.size for entry in entries.values() if entry)
        siblings: list[dict[str, Any]] = []
        for path, entry in entries.items():
            sibling: dict[str, Any] = {"rfilename": path}
            if entry is not None and question.flag("blobs"):
                sibling |= {"size": entry.blob.size, "blobId": entry.oid}
                if entry.lfs:
                    sibling["lfs"] = _lfs_json(entry, "sha256")
            siblings.append(sibling)
        first = list(repository.history(commit))[-1]
        gated = "manual" if repository.gated is True else repository.gated
        everything = {
            "_id": git_object_id("blob", repository.id.encode())[:24],
            "id": repository.id,
            "author": repository.id.partition("/")[0] if "/" in repository.id else None,
            "sha": commit.header.id,
            "lastModified": commit.header.date,
            "createdAt": first.header.date,
            "private": repository.private,
            "gated": gated,
            "disabled": False,
            "tags": [],
            "downloads": 0,
            "likes": 0,
            "cardData": _card_data(entries.get("README.md")),
            "siblings": siblings,
            "usedStorage": size,
            "mainSize": size,
        }
        if repository.kind == "model":
            everything["modelId"] = repository.id
        wanted = question.parameters.get("expand", []) + question.parameters.get("expand[]", [])
        if wanted:
            everything = {name: value for name, value in everything.items() if name in ("_id", "id", *wanted)}
        return json_answer(everything)

    def _references(self, repository: Repository) -> Answer:
        def as_json(name: str, reference: str, commit: str) -> dict[str, str]:
            return {"name": name, "ref": reference, "targetCommit": commit}

        plain = {name: commit for name, commit in repository.references.items() if not name.startswith("refs/")}
        named = {
            kind: [
                as_json(reference.removeprefix(f"refs/{kind}/"), reference, commit)
                for reference, commit in repository.references.items()
                if reference.startswith(f"refs/{kind}/")
            ]
            for kind in ("convert", "pr")
        }
        return json_answer(
            {
                "branches": [as_json(name, f"refs/heads/{name}", commit) for name, commit in plain.items()],
                "tags": [as_json(name, f"refs/tags/{name}", commit) for name, commit in repository.tags.items()],
                "converts": named["convert"],
                "pullRequests": named["pr"],
            }
        )

    def _tree(self, question: Question, repository: Repository, commit: Commit, revision: str, folder: str) -> Answer:
        prefix = f"{folder}/" if folder else ""
        files = [path for path in commit.files if path.startswith(prefix)]
        if not files and folder:
            raise HubError(404, "EntryNotFound", f"{folder} does not exist on {revision}")
        paths = _paths_of_tree(files, prefix, recursive=question.flag("recursive"))
        expand = question.flag("expand")
        page_size = self.page_size or (EXPANDED_PAGE_SIZE if expand else PAGE_SIZE)
        start = int(question.parameters.get("cursor", ["0"])[-1])
        page = paths[start : start + page_size]
        answer = json_answer([self._path_json(repository, commit, revision, path, expand=expand) for path in page])
        if start + page_size < len(paths):
            parameters = {name: values[-1] for name, values in question.parameters.items()}
            query = urlencode({**parameters, "cursor": start + page_size})
            answer.headers["Link"] = f'<{self.endpoint}{question.path}?{query}>; rel="next"'
        return answer

    def _paths_information(self, question: Question, repository: Repository, commit: Commit, revision: str) -> Answer:
        if question.headers.get("content-type", "").startswith("application/json"):
            asked = json.loads(question.body)
        else:
            form = parse_qs(question.body.decode(), keep_blank_values=True)
            asked = {"paths": form.get("paths", []), "expand": form.get("expand", ["false"])[-1].lower() == "true"}
        found = []
        for path in asked["paths"]:
            if path in commit.files or any(name.startswith(f"{path}/") for name in commit.files):
                found.append(self._path_json(repository, commit, revision, path, expand=bool(asked.get("expand"))))
        return json_answer(found)

    def _path_json(
        self, repository: Repository, commit: Commit, revision: str, path: str, *, expand: bool
    ) -> dict[str, Any]:
        entry = self._entry(repository, commit, revision, path)
        if entry is None:
            inside = {name: each for name, each in commit.files.items() if name.startswith(f"{path}/")}
            value = {"type": "directory", "oid": _tree_oid(inside, f"{path}/"), "size": 0, "path": path}
            last = max((each.last_commit for each in inside.values()), key=lambda header: header.date)
        else:
            value = {"type": "file", "oid": entry.oid, "size": entry.blob.size, "path": path}
            if entry.lfs:
                value["lfs"] = _lfs_json(entry, "oid")
            last = entry.last_commit
        if expand:
            value["lastCommit"] = {"id": last.id, "title": last.title, "date": last.date}
            if entry is not None:
                value["securityFileStatus"] = {"status": "safe", "avScan": None, "pickleImportScan": None}
        return value


class _Moved(HubError):
    """The Hub redirects old names (307) to a relative address."""

    def __init__(self, question: Question, old_id: str, new_id: str) -> None:
        super().__init__(307, None, "Moved")
        path = question.path.replace(f"/{quote(old_id)}", f"/{quote(new_id)}", 1)
        self.location = f"{path}?{question.query}" if question.query else path

    def answer(self) -> Answer:
        return Answer(307, {"Location": self.location, "Content-Type": "text/plain"}, b"Temporary Redirect")


def _kind(segment: str) -> Kind:
    return "dataset" if segment == "datasets" else "model"


def _split_revision(segments: list[str]) -> tuple[str, str]:
    """Revision and path; references such as refs/convert/parquet may come with plain slashes."""
    length = 3 if segments[:1] == ["refs"] else 1
    revision = unquote("/".join(segments[:length])) or MAIN
    return revision, unquote("/".join(segments[length:]))


def _commit(repository: Repository, revision: str) -> Commit:
    commit = repository.find(revision)
    if commit is None:
        raise HubError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
    return commit


def _file_headers(path: str) -> dict[str, str]:
    name = path.rpartition("/")[2]
    ascii_name = name.encode("ascii", "replace").decode().replace('"', "'")
    return {
        "Content-Type": "application/octet-stream",
        "Accept-Ranges": "bytes",
        "Content-Disposition": f"inline; filename*=UTF-8''{quote(name)}; filename=\"{ascii_name}\";",
    }


def _xml_error(status: int, code: str, message: str) -> Answer:
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return Answer(status, {"Content-Type": "application/xml"}, body.encode())


def _lfs_json(entry: Entry, hash_name: str) -> dict[str, Any]:
    return {hash_name: entry.blob.sha256, "size": entry.blob.size, "pointerSize": len(entry.blob.lfs_pointer)}


def _commit_json(header: CommitHeader) -> dict[str, Any]:
    return {
        "id": header.id,
        "title": header.title,
        "message": "",
        "authors": [{"user": "local-user"}],
        "date": header.date,
    }


def _paths_of_tree(files: Iterable[str], prefix: str, *, recursive: bool) -> list[str]:
    """Files and folders under a prefix, sorted; only the first level unless recursive."""
    paths: set[str] = set()
    for file in files:
        parts = file.removeprefix(prefix).split("/")
        depth = len(parts) if recursive else 1
        paths.update(prefix + "/".join(parts[:length]) for length in range(1, depth + 1))
    return sorted(paths)


def _tree_oid(files: Mapping[str, Entry], prefix: str) -> str:
    """The git object id of a folder (git's tree object: sorted `mode name NUL sha1`)."""
    children: dict[str, tuple[bytes, str]] = {}
    for path, entry in files.items():
        name, slash, _ = path.removeprefix(prefix).partition("/")
        if not slash:
            children[name] = (b"100644", entry.oid)
        elif f"{name}/" not in children:
            below = f"{prefix}{name}/"
            inside = {each: value for each, value in files.items() if each.startswith(below)}
            children[f"{name}/"] = (b"40000", _tree_oid(inside, below))
    lines = [
        mode + b" " + name.rstrip("/").encode() + b"\0" + bytes.fromhex(oid)
        for name, (mode, oid) in sorted(children.items(), key=lambda child: child[0].encode())
    ]
    return git_object_id("tree", b"".join(lines))


def _card_data(readme: Entry | None) -> dict[str, Any] | None:
    """The YAML block at the top of the README (PyYAML comes with huggingface_hub)."""
    import yaml

    if readme is None:
        return None
    source = readme.blob.source
    text = (source if isinstance(source, bytes) else source.read_bytes()).decode("utf-8", "replace")
    if not text.startswith("---"):
        return None
    try:
        value = yaml.safe_load(text[3:].partition("\n---")[0])
    except yaml.YAMLError:
        return None
    return json.loads(json.dumps(value, default=str)) if isinstance(value, dict) else None

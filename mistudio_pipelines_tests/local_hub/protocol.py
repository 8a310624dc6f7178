"""The answers of the Hub: which request gets which status, headers and body.

What belongs here: the Hub's HTTP interface as `huggingface_hub` 2, `datasets` 5 and `transformers` 5 use it: addresses,
who may read what, redirects. What does not: the JSON values (`information.py`), links to the second origin
(`links.py`), sockets and ranges (`transport.py`).
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote, unquote, urlencode

from mistudio_pipelines_tests.local_hub import information
from mistudio_pipelines_tests.local_hub.faults import Faults
from mistudio_pipelines_tests.local_hub.links import LinkTarget, SignedLinks
from mistudio_pipelines_tests.local_hub.messages import Answer, HubError, Question, json_answer, xml_error
from mistudio_pipelines_tests.local_hub.repositories import MAIN, Blob, Commit, Kind, Repositories, Repository

OPERATIONS = frozenset({"revision", "tree", "paths-info", "refs", "commits", "auth-check"})
PAGE_SIZE = 1000
EXPANDED_PAGE_SIZE = 50


class Protocol:
    """Answers requests to both origins from the repositories.

    Args:
        repositories: What there is.
        faults: Only its swapped contents matter here.

    Attributes:
        tokens: Known tokens, each with the gated and private repositories that it may read.
        links: Signs the links to the second origin.
        page_size: Entries in a page of a tree; None: as many as the Hub gives.
        endpoint: Address of the Hub.
        cdn_endpoint: Address of the second origin.
    """

    def __init__(self, repositories: Repositories, faults: Faults) -> None:
        self.repositories = repositories
        self.faults = faults
        self.tokens: dict[str, frozenset[str]] = {}
        self.links = SignedLinks()
        self.page_size: int | None = None
        self.endpoint = ""
        self.cdn_endpoint = ""
        self._linked: dict[str, Blob] = {}

    def answer_hub(self, question: Question) -> Answer:
        """The answer of the Hub itself, with the rate-limit headers that each of its answers has."""
        try:
            answer = self._route(question)
        except HubError as error:
            answer = error.answer()
        except ValueError:  # a cursor that is no number, a body that is no form
            answer = HubError(400, None, "Bad request").answer()
        limit = "resolvers" if "/resolve/" in question.path else "api"
        headers = {"RateLimit": f'"{limit}";r=2999;t=300', "RateLimit-Policy": f'"fixed window";"{limit}";q=3000;w=300'}
        return replace(answer, headers=headers | answer.headers)

    def _route(self, question: Question) -> Answer:
        if question.token is not None and question.token not in self.tokens:
            raise HubError(401, None, "Invalid credentials in Authorization header")
        segments = question.path.strip("/").split("/")
        if segments[0] == "api":
            return self._route_api(question, segments[1:])
        kind, names = ("dataset", segments[1:]) if segments[0] == "datasets" else ("model", segments)
        if "resolve" in names[1:3]:
            at = names.index("resolve", 1)
            revision, path = _split_revision(names[at + 1 :])
            return self._resolve(question, _kind(kind), unquote("/".join(names[:at])), revision, path)
        raise HubError(404, None, "Sorry, we can't find the page you are looking for.")

    def _route_api(self, question: Question, segments: list[str]) -> Answer:
        match segments:
            case ["whoami-v2"]:
                return self._who_am_i(question)
            case ["agent-harnesses"]:  # the client asks for it once, to name itself in its User-Agent
                return json_answer({"harnesses": []})
            case ["resolve-cache", ("datasets" | "models") as kinds, namespace, name, revision, *path]:
                repository_id = unquote(f"{namespace}/{name}")
                return self._serve(question, _kind(kinds), repository_id, revision, unquote("/".join(path)))
            case [("datasets" | "models") as kinds, name, *rest] if not rest or rest[0] in OPERATIONS:
                return self._about(question, self._repository(question, _kind(kinds), unquote(name)), rest)
            case [("datasets" | "models") as kinds, namespace, name, *rest]:
                repository_id = unquote(f"{namespace}/{name}")
                return self._about(question, self._repository(question, _kind(kinds), repository_id), rest)
        raise HubError(404, None, "Not found")

    # What a repository is and holds

    def _about(self, question: Question, repository: Repository, rest: list[str]) -> Answer:
        operation = rest[0] if rest else "revision"
        if operation == "refs":
            return json_answer(information.references(repository))
        if operation == "auth-check":
            self._check_gate(question, repository)
            return json_answer({})
        revision, path = _split_revision(rest[1:])
        commit = self._commit(repository, revision)
        match operation:
            case "revision":
                expand = [*question.parameters.get("expand", []), *question.parameters.get("expand[]", [])]
                blobs = question.flag("blobs")
                return json_answer(information.repository_information(repository, commit, blobs=blobs, expand=expand))
            case "tree":
                return self._tree(question, commit, revision, path)
            case "paths-info":
                form = question.form
                expand_paths = form.get("expand", ["false"])[-1].lower() == "true"
                found = (
                    information.path_information(commit, each, expand=expand_paths) for each in form.get("paths", [])
                )
                return json_answer([each for each in found if each is not None])
            case "commits":
                history = repository.history(commit)
                return json_answer([information.commit_information(each.header) for each in history])
        raise HubError(404, None, "Not found")

    def _tree(self, question: Question, commit: Commit, revision: str, folder: str) -> Answer:
        if folder and folder not in commit.folders:
            raise HubError(404, "EntryNotFound", f"{folder} does not exist on {revision}")
        expand = question.flag("expand")
        paths = information.tree_paths(commit, folder, recursive=question.flag("recursive"))
        start = int(question.parameter("cursor", "0"))
        end = start + (self.page_size or (EXPANDED_PAGE_SIZE if expand else PAGE_SIZE))
        answer = json_answer([information.path_information(commit, path, expand=expand) for path in paths[start:end]])
        if end < len(paths):
            parameters = {name: values[-1] for name, values in question.parameters.items()}
            next_page = f"{self.endpoint}{question.path}?{urlencode({**parameters, 'cursor': end})}"
            answer.headers["Link"] = f'<{next_page}>; rel="next"'
        return answer

    def _commit(self, repository: Repository, revision: str) -> Commit:
        """The commit of a revision, with the contents that a test has swapped."""
        commit = repository.find(revision)
        if commit is None:
            raise HubError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        root = f"{'/datasets' if repository.kind == 'dataset' else ''}/{repository.id}/resolve/{revision}/"
        swapped = {path: self.faults.swapped(root + path) for path in commit.files} if self.faults.has_swaps else {}
        files = {path: replace(commit.files[path], blob=blob) for path, blob in swapped.items() if blob is not None}
        return replace(commit, files={**commit.files, **files}) if files else commit

    # Who may read what

    def _repository(self, question: Question, kind: Kind, repository_id: str) -> Repository:
        moved = self.repositories.moved_to(kind, repository_id)
        if moved is not None:
            address = question.path.replace(f"/{quote(repository_id)}", f"/{quote(moved)}", 1)
            location = f"{address}?{question.query}" if question.query else address
            raise HubError(307, None, "Temporary Redirect", {"Location": location})
        repository = self.repositories.find(kind, repository_id)
        if repository is not None and (not repository.private or self._granted(question, repository)):
            return repository
        if question.token is None:  # the Hub does not say whether it is missing or private
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
        message = f"{what} and you are not in the authorized list. Visit {page} to ask for access."
        raise HubError(403, "GatedRepo", message)

    def _who_am_i(self, question: Question) -> Answer:
        if question.token is None:
            raise HubError(401, None, "Invalid username or password.")
        token = {"displayName": "local", "role": "read"}
        user = {"type": "user", "id": "0", "name": information.OWNER, "fullname": "Local User", "orgs": []}
        return json_answer({**user, "auth": {"type": "access_token", "accessToken": token}})

    # Files

    def _resolve(self, question: Question, kind: Kind, repository_id: str, revision: str, path: str) -> Answer:
        """HEAD or GET of a file.

        LFS files redirect to the second origin, others to an address that names their commit; private, gated and
        empty files, and those of repositories without a namespace, are served at once.
        """
        repository, commit = self._readable(question, kind, repository_id, revision, path)
        entry = commit.files[path]
        if entry.lfs:
            status, oid = 302, entry.blob.sha256
            self._linked[oid] = entry.blob
            location = f"{self.cdn_endpoint}{self.links.make(repository, LinkTarget(oid, path))}"
        elif repository.private or repository.gated or "/" not in repository.id or not entry.blob.size:
            return self._serve(question, kind, repository_id, revision, path)
        else:
            status, oid = 307, entry.oid
            location = f"/api/resolve-cache/{kind}s/{quote(repository.id)}/{commit.header.id}/{quote(path)}"
        headers = {
            "Location": location,
            "Content-Type": "text/plain; charset=utf-8",
            "X-Repo-Commit": commit.header.id,
            "X-Linked-Size": str(entry.blob.size),
            "X-Linked-ETag": f'"{oid}"',
            "Accept-Ranges": "bytes",
        }
        return Answer(status, headers, f"Redirecting to {location}".encode())

    def _serve(self, question: Question, kind: Kind, repository_id: str, revision: str, path: str) -> Answer:
        """The bytes of a file that is not in LFS."""
        _, commit = self._readable(question, kind, repository_id, revision, path)
        entry = commit.files[path]
        headers = {"X-Repo-Commit": commit.header.id, "ETag": f'"{entry.oid}"', **_file_headers(path)}
        return Answer(200, headers, entry.blob)

    def _readable(
        self, question: Question, kind: Kind, repository_id: str, revision: str, path: str
    ) -> tuple[Repository, Commit]:
        """The commit that holds a file which this client may read."""
        repository = self._repository(question, kind, repository_id)
        if path != "README.md":  # everybody may read what they are about to ask access for
            self._check_gate(question, repository)
        commit = self._commit(repository, revision)
        if path not in commit.files:
            raise HubError(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": commit.header.id})
        return repository, commit

    def answer_cdn(self, question: Question) -> Answer:
        """The answer of the second origin: content by its hash through signed links, and no Authorization header."""
        if "authorization" in question.headers:
            return xml_error(400, "InvalidArgument", "Only one auth mechanism allowed")
        target = self.links.check(question)
        if target == "expired":
            return xml_error(403, "AccessDenied", "Request has expired")
        if target == "not signed":
            return xml_error(403, "SignatureDoesNotMatch", "This Hub has not given out this link")
        blob = self.faults.swapped(unquote(question.path)) or self._linked.get(target.sha256)
        if blob is None:
            return xml_error(404, "NoSuchKey", "The specified key does not exist.")
        # An ETag of its own, as object stores have: X-Linked-ETag from the Hub is of no use in an If-Range here.
        return Answer(200, {"ETag": f'"{blob.sha256[:32]}-1"', **_file_headers(target.path)}, blob)


def _kind(segment: str) -> Kind:
    return "dataset" if segment.startswith("dataset") else "model"


def _split_revision(segments: list[str]) -> tuple[str, str]:
    """Revision and path; references such as refs/convert/parquet may come with plain slashes."""
    length = 3 if segments[:1] == ["refs"] else 1
    revision = unquote("/".join(segments[:length])) or MAIN
    return revision, unquote("/".join(segments[length:]))


def _file_headers(path: str) -> dict[str, str]:
    name = path.rpartition("/")[2]
    ascii_name = name.encode("ascii", "replace").decode().replace('"', "'")
    return {
        "Content-Type": "application/octet-stream",
        "Accept-Ranges": "bytes",
        "Content-Disposition": f"inline; filename*=UTF-8''{quote(name)}; filename=\"{ascii_name}\";",
    }

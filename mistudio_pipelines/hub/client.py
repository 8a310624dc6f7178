"""Talks to the Hub: one endpoint, one token, small requests answered in JSON or bytes.

What belongs here: sending requests on huggingface_hub's session with its headers, retries of what is transient, and
turning what is not into an error that a person understands. What does not: what the answers mean
(`hub/repository.py`), large bodies (`hub/fetch.py`), the decisions about faults (`hub/faults.py`).
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin, urlsplit

from mistudio_pipelines import __version__
from mistudio_pipelines.errors import MistudioError, Stopped
from mistudio_pipelines.hub import faults
from mistudio_pipelines.hub.environment import prepare_environment
from mistudio_pipelines.hub.refusals import Request, not_a_hub, refusal
from mistudio_pipelines.hub.secrets import find_token, scrub
from mistudio_pipelines.progress import ShouldStop, never_stop
from mistudio_pipelines.store.layout import DataStore

if TYPE_CHECKING:
    import httpx2

CONNECT_TIMEOUT_SECONDS = 10.0
READ_TIMEOUT_SECONDS = 30.0
"""Seconds without a byte after which a connection counts as dead."""

_MOST_REDIRECTS = 5
_POLL_SECONDS = 0.25
_LARGEST_ANSWER = 64 * 1024 * 1024
_LARGEST_REDIRECT = 64 * 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class HubClient:
    """A connection to the Hub with one token.

    Args:
        store: The data folder.
        token_name: Name of the secret to use (`hub/secrets.py`), or None for the default.
        token: A token that is used instead and kept in memory only.
        endpoint: Address of the Hub; default `HF_ENDPOINT`, else the public one.
        should_stop: Polled while waiting.
        first_wait_seconds: Seconds before the first retry of what is transient.

    Raises:
        MistudioError: `secret_not_found`.
    """

    def __init__(
        self,
        store: DataStore,
        *,
        token_name: str | None = None,
        token: str | None = None,
        endpoint: str | None = None,
        should_stop: ShouldStop = never_stop,
        first_wait_seconds: float = faults.FIRST_WAIT_SECONDS,
    ) -> None:
        prepare_environment(store)
        from huggingface_hub import constants
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # exported lazily

        self.store = store
        self.token_name = token_name
        self.endpoint = (endpoint or os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")
        self.should_stop = should_stop
        self.first_wait_seconds = first_wait_seconds
        self._token = token or find_token(store, token_name)
        self._headers: dict[str, str] = build_hf_headers(
            token=self._token or False, library_name="mistudio-pipelines", library_version=__version__
        )

    def __repr__(self) -> str:
        return f"HubClient({self.endpoint!r}, token_name={self.token_name!r}, authenticated={self.authenticated})"

    @property
    def authenticated(self) -> bool:
        """Whether a token is sent."""
        return self._token is not None

    def scrub(self, text: str) -> str:
        """The text without this client's token and whatever else looks secret."""
        return scrub(text, self._token)

    def file_url(self, repository: str, revision: str, path: str) -> str:
        """Address of a file of a dataset repository at a commit."""
        from huggingface_hub import hf_hub_url

        return hf_hub_url(repository, path, repo_type="dataset", revision=revision, endpoint=self.endpoint)

    def api_url(self, repository: str, *parts: str) -> str:
        """Address of the API for a dataset repository; `parts` are quoted."""
        return "/".join([f"{self.endpoint}/api/datasets/{repository}", *(quote(part, safe="") for part in parts)])

    @contextmanager
    def stream(self, url: str, headers: Mapping[str, str] | None = None) -> Iterator[httpx2.Response]:
        """Send one GET request and follow its redirects; the body is still to be read.

        The Authorization header goes to the endpoint's own origin only. No retries, and no error for a status.

        Args:
            url: Address on the Hub.
            headers: More headers, for example `Range`.

        Yields:
            The response that is not a redirect. `response.extensions["hub_headers"]` has the headers of the Hub's
            own answer, before it sent us elsewhere.

        Raises:
            httpx2.HTTPError: Where no response comes.
        """
        import httpx2
        from huggingface_hub.utils import get_session  # type: ignore[attr-defined]  # exported lazily

        timeout = httpx2.Timeout(READ_TIMEOUT_SECONDS, connect=CONNECT_TIMEOUT_SECONDS)
        hub_headers: httpx2.Headers | None = None
        for _ in range(_MOST_REDIRECTS + 1):
            sent = {**self._headers_for(url), "accept-encoding": "identity", **(headers or {})}
            session = get_session()
            with session.stream("GET", url, headers=sent, timeout=timeout, follow_redirects=False) as response:
                hub_headers = response.headers if hub_headers is None else hub_headers
                location = response.headers.get("location")
                if response.status_code not in _REDIRECTS or not location:
                    response.extensions["hub_headers"] = hub_headers
                    yield response
                    return
                url = self._redirected(url, location)
                if int(response.headers.get("content-length") or _LARGEST_REDIRECT) < _LARGEST_REDIRECT:
                    response.read()  # so that the connection can be used again
        raise httpx2.TooManyRedirects(f"more than {_MOST_REDIRECTS} redirects")

    def _headers_for(self, url: str) -> dict[str, str]:
        if origin(url) == origin(self.endpoint):
            return self._headers
        return {name: value for name, value in self._headers.items() if name.lower() != "authorization"}

    @staticmethod
    def _redirected(url: str, location: str) -> str:
        import httpx2

        target = urljoin(url, location)
        scheme = urlsplit(target).scheme
        if scheme != "https" and scheme != urlsplit(url).scheme:
            raise httpx2.UnsupportedProtocol(f"redirect from {urlsplit(url).scheme} to {scheme or 'nowhere'}")
        return target

    def get(
        self, url: str, request: Request, headers: Mapping[str, str] | None = None, *, at_most: int = _LARGEST_ANSWER
    ) -> tuple[bytes, httpx2.Headers]:
        """GET a small answer; what is transient is tried again up to three times.

        Args:
            url: Address on the Hub.
            request: What it is for, to make the error's sentence.
            headers: More headers.
            at_most: Bytes after which reading stops; the rest is not fetched.

        Returns:
            The body and the response's headers.

        Raises:
            MistudioError: One of the Hub's, see `hub/refusals.py`.
            Stopped: Where `should_stop` said so.
        """
        failures = 0
        while True:
            status: int | None = None
            answer_headers: Mapping[str, str] = {}
            failure: Exception | None = None
            try:
                with self.stream(url, headers) as response:
                    status, answer_headers = response.status_code, response.headers
                    if status < 300:
                        return _read(response, at_most), response.headers
            except Exception as error:  # noqa: BLE001  (classified right below)
                failure = error
                status = status if status is not None and status >= 400 else None
            failures += 1
            fault = faults.classify(status, answer_headers, failure)
            wait = faults.wait_before_retry(fault, failures, random.random(), first_wait=self.first_wait_seconds)  # noqa: S311  (jitter)
            if wait is None:
                raise self.refusal(fault, request, answer_headers) from failure
            self.pause(wait)

    def refusal(self, fault: faults.Fault, request: Request, headers: Mapping[str, str]) -> MistudioError:
        """The error that a person sees for a fault; never with a secret in it."""
        error = refusal(fault, request, headers, authenticated=self.authenticated, token_name=self.token_name)
        return MistudioError(
            error.code,
            self.scrub(error.message),
            self.scrub(error.next_step),
            transient=error.transient,
            details=error.details,
        )

    def get_json(self, url: str, request: Request) -> tuple[Any, httpx2.Headers]:
        """GET and parse JSON.

        Raises:
            MistudioError: As `get`; `hub_unreachable` where the answer is not JSON.
        """
        body, headers = self.get(url, request)
        try:
            return json.loads(body), headers
        except (ValueError, RecursionError) as error:
            raise not_a_hub(self.endpoint) from error

    def pause(self, seconds: float) -> None:
        """Wait, but not longer than until a stop is asked for.

        Raises:
            Stopped: Where `should_stop` said so.
        """
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self.should_stop():
                raise Stopped("Waiting for the Hub")
            time.sleep(min(left, _POLL_SECONDS))


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port: what must be equal for a token to be sent."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme.lower())
    return parts.scheme.lower(), (parts.hostname or "").lower(), port


def _read(response: httpx2.Response, at_most: int) -> bytes:
    body = bytearray()
    for piece in response.iter_raw():
        body += piece
        if len(body) >= at_most:
            return bytes(body[:at_most])
    return bytes(body)

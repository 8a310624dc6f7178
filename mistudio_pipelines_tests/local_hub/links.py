"""Signed links to the second origin, as object stores and content delivery networks give them out.

What belongs here: making and checking such links. What does not: what they lead to.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from typing import Literal, NamedTuple
from urllib.parse import quote, unquote, urlencode

from mistudio_pipelines_tests.local_hub.messages import Question
from mistudio_pipelines_tests.local_hub.repositories import Repository

_ADDRESS = re.compile(r"/.+?/([0-9a-f]{64})/(.+)")


class LinkTarget(NamedTuple):
    """What a link leads to: content by its hash, under the path that it has in its repository."""

    sha256: str
    path: str


class SignedLinks:
    """Makes and checks links.

    Attributes:
        lifetime: Seconds that a new link is good for.
    """

    def __init__(self) -> None:
        self.lifetime = 3600.0
        self._key = secrets.token_bytes(16)

    def make(self, repository: Repository, target: LinkTarget) -> str:
        """The path and query of a new link."""
        address = f"/{repository.kind}s/{quote(repository.id)}/{target.sha256}/{quote(target.path)}"
        expires = f"{time.time() + self.lifetime:.3f}"
        return f"{address}?{urlencode({'Expires': expires, 'Signature': self._sign(address, expires)})}"

    def check(self, question: Question) -> LinkTarget | Literal["expired", "not signed"]:
        """What a link leads to, or why it leads nowhere."""
        expires = question.parameter("Expires", "")
        signature = question.parameter("Signature", "")
        found = _ADDRESS.fullmatch(question.path)
        if found is None or not hmac.compare_digest(signature.encode(), self._sign(question.path, expires).encode()):
            return "not signed"
        if float(expires) < time.time():
            return "expired"
        return LinkTarget(found[1], unquote(found[2]))

    def _sign(self, address: str, expires: str) -> str:
        return hmac.new(self._key, f"{address}?{expires}".encode(), hashlib.sha256).hexdigest()

"""Changes of datasets as server-sent events, so that nobody needs to poll.

The stream is a comparison of snapshots: whoever connects gets what is being worked on now, then every change. Nothing
is lost with a connection, because the list has it all. The format is that of the HTML standard, section 9.2.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING

from mistudio_pipelines.api import reading
from mistudio_pipelines.errors import ErrorCode, MistudioError

if TYPE_CHECKING:
    from mistudio_pipelines.api.context import ApiContext

SECONDS_BETWEEN_LOOKS = 1.0
MOST_STREAMS = 50
_SECONDS_BETWEEN_SIGNS = 15.0
_MILLISECONDS_TO_RECONNECT = 2000
_BUSY = ("downloading", "ingesting", "tokenizing", "deleting")


class Streams:
    """How many streams are open; each looks at the datasets once a second."""

    def __init__(self) -> None:
        self.open = 0
        self.closing = False

    def admit(self) -> None:
        """Refuse a stream where there are too many.

        Raises:
            MistudioError: `busy`.
        """
        if self.open >= MOST_STREAMS:
            raise MistudioError(
                ErrorCode.BUSY,
                f"{MOST_STREAMS} event streams are open, which is the limit.",
                "Poll GET /api/datasets instead.",
                transient=True,
            )


async def follow(context: ApiContext, dataset_id: str | None) -> AsyncIterator[bytes]:
    """The events: `dataset` (a line of the list, as JSON) and `removed` (an id).

    Args:
        context: Of the application.
        dataset_id: Only of this dataset; None: of all.
    """
    context.streams.open += 1
    try:
        shown: dict[str, bytes] | None = None
        said = time.monotonic()
        yield f"retry: {_MILLISECONDS_TO_RECONNECT}\n\n".encode()
        while not context.streams.closing:
            now = await _look(context, dataset_id)
            events = b"".join(_differences(shown, {key: line for key, (line, _) in now.items()}))
            if shown is None:
                events = b"".join(_event("dataset", line) for line, is_busy in now.values() if is_busy or dataset_id)
            shown = {key: line for key, (line, _) in now.items()}
            if not events and time.monotonic() - said > _SECONDS_BETWEEN_SIGNS:
                events = b": nothing new\n\n"
            if events:
                said = time.monotonic()
                yield events
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
    finally:
        context.streams.open -= 1


async def _look(context: ApiContext, dataset_id: str | None) -> dict[str, tuple[bytes, bool]]:
    """Every dataset as JSON, and whether something is being done to it."""
    snapshot = await context.snapshots.get()
    chosen = [one for one in snapshot.overviews if dataset_id is None or one.record.id == dataset_id]

    def work() -> dict[str, tuple[bytes, bool]]:
        return {
            one.record.id: (
                reading.summarize(context.store, snapshot, one).model_dump_json().encode(),
                one.status.status in _BUSY,
            )
            for one in chosen
        }

    return await context.quickly(work)


def _differences(before: Mapping[str, bytes] | None, now: Mapping[str, bytes]) -> list[bytes]:
    if before is None:
        return []
    changed = [_event("dataset", line) for key, line in now.items() if before.get(key) != line]
    gone = [_event("removed", b'{"id":"' + key.encode() + b'"}') for key in before.keys() - now.keys()]
    return changed + gone


def _event(kind: str, data: bytes) -> bytes:
    """One event; JSON of pydantic has no line breaks."""
    return b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"

"""Opened indexes of the datasets that were looked at last, so that the next page needs no opening.

What belongs here: how many are kept and when one is closed. What does not: showing samples (`text/browsing.py`).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mistudio_pipelines.errors import ErrorCode, MistudioError

if TYPE_CHECKING:
    from mistudio_pipelines.store.layout import DataStore
    from mistudio_pipelines.text.browsing import SampleBrowser

MOST_OPEN = 8
_MISTAKES_OF_THE_QUESTION = (ErrorCode.INVALID_QUERY, ErrorCode.UNKNOWN_SPLIT_OR_CONFIG)


@dataclass
class _Kept:
    browser: SampleBrowser
    users: int = 0
    dropped: bool = False


class WarmBrowsers:
    """Browsers by dataset, the least recently used closed first; safe to use from several threads.

    Args:
        store: The data folder.
        most: How many are kept open.
    """

    def __init__(self, store: DataStore, most: int = MOST_OPEN) -> None:
        self._store = store
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    @contextmanager
    def open(self, dataset_id: str) -> Iterator[SampleBrowser]:
        """The browser of a dataset; it is not closed while the block runs."""
        kept = self._take(dataset_id)
        try:
            yield kept.browser
        except MistudioError as error:
            # Files that are gone or damaged are looked for anew; a question that makes no sense changes nothing.
            if error.code not in _MISTAKES_OF_THE_QUESTION:
                self.forget(dataset_id)
            raise
        finally:
            self._give_back(kept)

    def forget(self, dataset_id: str) -> None:
        """Close a dataset's browser, as soon as nobody uses it: deleted files take room while they are open."""
        with self._lock:
            kept = self._kept.pop(dataset_id, None)
        if kept is not None:
            self._drop(kept)

    def keep_only(self, dataset_ids: Collection[str]) -> None:
        """Close the browsers of all other datasets."""
        for dataset_id in set(self._kept) - set(dataset_ids):
            self.forget(dataset_id)

    def close(self) -> None:
        """Close all."""
        self.keep_only(())

    def __len__(self) -> int:
        return len(self._kept)

    def _take(self, dataset_id: str) -> _Kept:
        from mistudio_pipelines.text.browsing import SampleBrowser

        with self._lock:
            kept = self._kept.get(dataset_id)
            if kept is None:
                kept = self._kept[dataset_id] = _Kept(SampleBrowser(self._store, dataset_id))
            self._kept.move_to_end(dataset_id)
            kept.users += 1
            over = [self._kept.popitem(last=False)[1] for _ in range(len(self._kept) - self._most)]
        for one in over:
            self._drop(one)
        return kept

    def _give_back(self, kept: _Kept) -> None:
        with self._lock:
            kept.users -= 1
            unused = kept.dropped and kept.users == 0
        if unused:
            kept.browser.close()

    def _drop(self, kept: _Kept) -> None:
        with self._lock:
            kept.dropped = True
            unused = kept.users == 0
        if unused:
            kept.browser.close()

"""The page of statistics: charts, tables, and shares of words, of what was counted.

The charts are those of Dagster's metadata (`text/pictures.py`); the style sheet gives them the colours of the theme.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from mistudio_pipelines.api.models.statistics import FullStatistics, TextNumbers
from mistudio_pipelines.text.pictures import histogram_svg, shares_svg, storage_svg
from mistudio_pipelines.text.statistics_model import Histogram

_QUALITY: Final = (
    ("nulls", "No text (null)"),
    ("empties", "Empty"),
    ("blanks", "White space only"),
    ("duplicates", "Exact duplicates"),
    ("replacement_characters", "Replacement characters (U+FFFD)"),
    ("invalid_sequences", "Invalid UTF-8 sequences replaced"),
)


@dataclass(frozen=True)
class WordShare:
    """A frequent word.

    Attributes:
        word: The word.
        count: How often it occurs.
        width: Its bar, of 100: the most frequent word has 100.
    """

    word: str
    count: int
    width: float


@dataclass(frozen=True)
class Charts:
    """The charts of the page, as SVG that is part of the page (its texts are escaped where it is drawn)."""

    histogram: Markup
    splits: Markup | None
    storage: Markup


def make_charts(statistics: FullStatistics) -> Charts:
    """The charts of a dataset; splits only where there are several."""
    histogram = Histogram(
        edges=tuple(statistics.total.histogram_edges), counts=tuple(statistics.total.histogram_counts)
    )
    several = len(statistics.splits) > 1
    return Charts(
        histogram=Markup(histogram_svg(histogram, ids="histogram-")),  # noqa: S704  (our own drawing; it escapes texts)
        splits=Markup(shares_svg(statistics.splits, ids="splits-")) if several else None,  # noqa: S704  (as above)
        storage=Markup(storage_svg(statistics.storage, ids="storage-")),  # noqa: S704  (as above)
    )


def word_shares(statistics: FullStatistics) -> list[WordShare]:
    """The most frequent words, most frequent first."""
    words = statistics.most_frequent_words
    most = max((one.count for one in words), default=1)
    return [WordShare(one.word, one.count, round(100 * one.count / most, 2)) for one in words]


def quality(numbers: TextNumbers) -> list[tuple[str, int, float]]:
    """What may be wrong with texts: its name, how often, and of 100 samples how many."""
    samples = max(1, numbers.samples)
    return [(label, getattr(numbers, name), 100 * getattr(numbers, name) / samples) for name, label in _QUALITY]

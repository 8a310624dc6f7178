"""Pictures small enough for Dagster's asset page to show them in place: under 1,000 characters of Markdown.

Longer Markdown is only a link there (read off the webserver's own code, 1.13). What belongs here: the small drawings,
pure. What does not: the full ones with axes and labels (`pictures.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

LONGEST_IN_PLACE: Final = 999
_WIDTH: Final = 240
_BAR_TOP: Final = 50
# Mid tones: readable on a light and on a dark page.
_COLOURS: Final = ("#6366f1", "#10b981", "#f59e0b", "#ef4444", "#64748b")
_TEXT: Final = "#64748b"
_MOST_PARTS: Final = len(_COLOURS)
_LONGEST_NAME: Final = 14  # bytes


def small_histogram(edges: Sequence[float], counts: Sequence[int]) -> str:
    """Bars with the smallest and the largest value under them, as SVG.

    Args:
        edges: One more than bins, ascending.
        counts: Of each bin.
    """
    step = _WIDTH / max(1, len(counts))
    highest = max([*counts, 1])
    bars = "".join(
        f"M{round((index + 0.5) * step)} {_BAR_TOP}v-{max(1, round(_BAR_TOP * count / highest))}"
        for index, count in enumerate(counts)
        if count
    )
    stroke = max(1, round(step) - 2)
    labels = _label(0, 62, f"{edges[0]:,.0f}") + _label(_WIDTH, 62, f"{edges[-1]:,.0f}", anchor="end")
    return _svg(64, f'<path stroke="{_COLOURS[0]}" stroke-width="{stroke}" d="{bars}"/>{labels}')


def small_shares(parts: Mapping[str, int]) -> str:
    """One bar divided into shares, the largest named under it, as SVG.

    Args:
        parts: Size of each part by its name.
    """
    largest = sorted(parts.items(), key=lambda part: -part[1])
    shown = largest[: _MOST_PARTS if len(largest) <= _MOST_PARTS else _MOST_PARTS - 1]
    rest = sum(size for _, size in largest[len(shown) :])
    if rest:
        shown.append((f"{len(largest) - len(shown)} more", rest))
    total = sum(parts.values()) or 1
    drawn, position = [], 0.0
    for index, (name, size) in enumerate(shown):
        width = _WIDTH * size / total
        colour = _COLOURS[index]
        line = 24 + 11 * index
        # One path draws the share and the square that names it: colour alone would be hard to read as text.
        drawn.append(f'<path stroke="{colour}" stroke-width="9" d="M{position:.0f} 6h{width:.0f}M0 {line - 4}h9"/>')
        drawn.append(_label(13, line, f"{_short(name)} {100 * size / total:.3g}%"))
        position += width
    return _svg(18 + 11 * len(shown), "".join(drawn))


def _svg(height: int, body: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'font-family="sans-serif" font-size="10" fill="{_TEXT}">{body}</svg>'
    )


def _label(x: int, y: int, text: str, anchor: str = "") -> str:
    place = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x}" y="{y}"{place}>{text}</text>'


def _short(name: str) -> str:
    """A name that cannot be markup and is not long."""
    plain = "".join(character if character.isalnum() or character in "-_. " else "?" for character in name)
    if len(plain.encode()) <= _LONGEST_NAME:
        return plain
    return plain.encode()[: _LONGEST_NAME - 1].decode(errors="ignore") + "…"

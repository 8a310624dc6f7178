"""Small pictures of statistics, as SVG text.

What belongs here: pure drawing, plain values in, SVG out. What does not: where a picture is shown.

A picture lies on a card of its own light colour, so that it reads the same on a light and on a dark page: an image
cannot know the theme of the page around it. Each has a title and a description for people who cannot see it, and takes
a few kilobytes, because the metadata that it becomes is stored twice.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from html import escape
from typing import Final

from mistudio_pipelines.progress import format_bytes
from mistudio_pipelines.text.statistics_model import Histogram

_WIDTH: Final = 560
_CARD: Final = "#f8fafc"
_EDGE: Final = "#cbd5e1"
_INK: Final = "#0f172a"
_QUIET: Final = "#475569"
# Told apart by people with any kind of colour vision too (Okabe and Ito 2008), darkened to 3:1 on the card.
_COLOURS: Final = ("#0072b2", "#b45309", "#00795c", "#a8447f", "#6d28d9", "#64748b")
_MOST_PARTS: Final = len(_COLOURS)
# From this ratio of the fullest to the emptiest bin on, bars of the small ones could not be seen.
_LOG_RATIO: Final = 50


def histogram_svg(histogram: Histogram, title: str = "Tokens per sample", ids: str = "") -> str:
    """Bars of a histogram; their heights are logarithmic where counts differ much, and then it says so.

    Args:
        histogram: Edges and counts.
        title: What is counted.
        ids: What its ids begin with, where several pictures are parts of one page.
    """
    counts = histogram.counts
    total = sum(counts)
    filled = [count for count in counts if count]
    logarithmic = bool(filled) and max(filled) > _LOG_RATIO * min(filled)
    left, top, width, height = 16, 48, _WIDTH - 32, 130
    step = width / max(1, len(counts))
    bars = []
    for place, count in enumerate(counts):
        tall = _height(count, max(filled, default=1), logarithmic) * height
        start, end = histogram.edges[place], histogram.edges[place + 1]
        bars.append(
            f'<rect x="{left + place * step + 1:.1f}" y="{top + height - tall:.1f}" width="{step - 2:.1f}" '
            f'height="{tall:.1f}" fill="{_COLOURS[0]}"><title>{_number(start)}–{_number(end)} tokens: {count:,} samples'
            "</title></rect>"
        )
    base = top + height
    edges = [(left, "start", histogram.edges[0]), (left + width / 2, "middle", histogram.edges[len(counts) // 2])]
    edges.append((left + width, "end", histogram.edges[-1]))
    scale = "samples, logarithmic" if logarithmic else "samples"
    body = [
        _text(left, 40, f"{scale}; fullest bin {max(counts, default=0):,}", _QUIET, 11),
        *bars,
        f'<path d="M{left} {base}H{left + width}" stroke="{_QUIET}"/>',
        *(_text(x, base + 16, _number(value), _QUIET, 11, anchor) for x, anchor, value in edges),
        _text(left + width / 2, base + 32, "tokens", _QUIET, 11, "middle"),
    ]
    described = f"{total:,} samples with {_number(histogram.edges[0])} to {_number(histogram.edges[-1])} tokens."
    return _card(title, described, body, base + 42, ids)


def shares_svg(counts: Mapping[str, int], title: str = "Samples by split", ids: str = "") -> str:
    """One bar cut into shares, with a line for each.

    Args:
        counts: Name and number of each part.
        title: What is shared.
        ids: As `histogram_svg`.
    """
    return _shares(title, {name: (count, f"{count:,}") for name, count in counts.items()}, ids)


def storage_svg(sizes: Mapping[str, int], title: str = "Storage", ids: str = "") -> str:
    """One bar cut into what takes space, with a line for each.

    Args:
        sizes: Name and bytes of each part.
        title: What is measured.
        ids: As `histogram_svg`.
    """
    total = format_bytes(sum(sizes.values()))
    return _shares(f"{title}: {total}", {name: (size, format_bytes(size)) for name, size in sizes.items()}, ids)


def markdown_image(svg: str, description: str) -> str:
    """A picture as Markdown that holds it whole.

    Args:
        svg: The picture.
        description: What stands in for it where it cannot be shown.
    """
    safe = description.replace("[", "(").replace("]", ")").replace("\n", " ")
    return f"![{safe}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def _shares(title: str, parts: Mapping[str, tuple[int, str]], ids: str) -> str:
    shown = _largest_parts(parts)
    total = sum(size for _, size, _ in shown)
    width = _WIDTH - 32
    x = 16.0
    bars, lines, told = [], [], []
    for place, (name, size, label) in enumerate(shown):
        share = size / total if total else 0.0
        colour = _COLOURS[place]
        bars.append(f'<rect x="{x:.1f}" y="40" width="{share * width:.1f}" height="22" fill="{colour}"/>')
        x += share * width
        y = 86 + 20 * place
        lines.append(f'<rect x="16" y="{y - 10}" width="12" height="12" fill="{colour}"/>')
        lines.append(_text(36, y, _shortened(name), _INK, 12))
        lines.append(_text(_WIDTH - 16, y, f"{label} · {_percent(share)}", _QUIET, 12, "end"))
        told.append(f"{name}: {label}, {_percent(share)}")
    return _card(title, "; ".join(told) or "Nothing.", bars + lines, 86 + 20 * len(shown), ids)


def _largest_parts(parts: Mapping[str, tuple[int, str]]) -> list[tuple[str, int, str]]:
    """The parts as they come; where they are too many, the largest and one for the rest."""
    listed = [(name, size, label) for name, (size, label) in parts.items()]
    if len(listed) <= _MOST_PARTS:
        return listed
    listed.sort(key=lambda part: -part[1])
    rest = listed[_MOST_PARTS - 1 :]
    return [*listed[: _MOST_PARTS - 1], (f"{len(rest)} others", sum(size for _, size, _ in rest), "together")]


def _height(count: int, fullest: int, logarithmic: bool) -> float:
    if logarithmic:
        return math.log1p(count) / math.log1p(fullest)
    return count / fullest


def _percent(share: float) -> str:
    return f"{share:.0%}" if share == 0 or share >= 0.1 else f"{share:.1%}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 100 else f"{value:,.1f}"


def _shortened(name: str) -> str:
    return name if len(name) <= 48 else f"{name[:47]}…"


def _text(x: float, y: float, content: str, colour: str, size: int, anchor: str = "start") -> str:
    placed = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{x:g}" y="{y:g}" fill="{colour}" font-size="{size}"{placed}>{_clean(content)}</text>'


def _clean(text: str) -> str:
    """Text for XML, which knows no control characters."""
    return escape("".join(c if c >= " " and c not in "\ufffe\uffff" else " " for c in text))


def _card(title: str, description: str, body: list[str], height: float, ids: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height:g}" '
        f'viewBox="0 0 {_WIDTH} {height:g}" role="img" '
        f'aria-labelledby="{ids}t {ids}d" font-family="system-ui, sans-serif">'
        f'<title id="{ids}t">{_clean(title)}</title><desc id="{ids}d">{_clean(description)}</desc>'
        f'<rect x="0.5" y="0.5" width="{_WIDTH - 1}" height="{height - 1:g}" rx="8" fill="{_CARD}" stroke="{_EDGE}"/>'
        f"{_text(16, 24, title, _INK, 14)}{''.join(body)}</svg>"
    )

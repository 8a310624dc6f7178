"""`mistudio samples`: pages of a dataset's samples, searched and filtered. Never imports Dagster: it must be quick."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mistudio_pipelines.commands.session import json_option, open_store, print_json

if TYPE_CHECKING:
    from rich.text import Text

    from mistudio_pipelines.store.layout import DataStore
    from mistudio_pipelines.text.browsing import Sample, SamplePage

_PREVIEW_CHARACTERS = 200
_HIGHLIGHT = "bold yellow"


@click.command()
@click.argument("dataset_id")
@click.option("--search", help='Words, "exact phrases", prefix*, AND, OR, NOT, parentheses.')
@click.option("--split", "splits", multiple=True, help="Only samples of this split; may be repeated.")
@click.option("--min-tokens", type=click.IntRange(0), help="Only samples of at least so many whitespace tokens.")
@click.option("--max-tokens", type=click.IntRange(0), help="Only samples of at most so many.")
@click.option("--page", type=click.IntRange(1), default=1, show_default=True)
@click.option("--page-size", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option(
    "--sort",
    type=click.Choice(["number", "relevance", "tokens", "-tokens"]),
    default="number",
    show_default=True,
    help="Place in the dataset, best hits first, shortest first, longest first.",
)
@click.option("--full", type=click.IntRange(0), metavar="N", help="Show the whole text of sample N.")
@json_option
def samples(dataset_id: str, *, full: int | None, as_json: bool, splits: tuple[str, ...], **options: Any) -> None:
    """Look through the samples of a dataset."""
    from mistudio_pipelines.text.browsing import SampleQuery, browse

    store = open_store()
    if full is not None:
        _show_whole(store, dataset_id, full, as_json=as_json)
        return
    page = browse(store, dataset_id, SampleQuery(splits=splits or None, **options))
    if as_json:
        from mistudio_pipelines.text.pages import page_values

        print_json(page_values(page))
    else:
        _print_page(page)


def _show_whole(store: DataStore, dataset_id: str, number: int, *, as_json: bool) -> None:
    from mistudio_pipelines.text.pages import read_whole_sample

    row, text = read_whole_sample(store, dataset_id, number)
    if as_json:
        print_json(row)
    else:
        click.echo(text or "")


def _print_page(page: SamplePage) -> None:
    from mistudio_pipelines.commands.session import make_table, print_table

    if not page.samples:
        click.echo(page.removed_by or "There are no samples.")
        return
    table = make_table("sample", "split", "tokens", "text", right=("sample", "tokens"))
    for sample in page.samples:
        table.add_row(f"{sample.number:,}", sample.split, f"{sample.tokens:,}", _preview(sample))
    print_table(table)
    click.echo(f"{page.total:,} samples, page {page.page:,} of {page.pages:,}, {page.elapsed_ms:.0f} ms.")


def _preview(sample: Sample) -> Text:
    from rich.text import Text

    shown = Text()
    for snippet in sample.snippets:
        if shown:
            shown.append(" … ")
        piece = Text(_one_line(snippet.text))
        for start, end in snippet.highlights:
            piece.stylize(_HIGHLIGHT, start, end)
        shown.append_text(piece)
    if not sample.snippets:
        text = "(null)" if sample.text is None else _one_line(sample.text[: _PREVIEW_CHARACTERS + 1])
        shown.append(text[:_PREVIEW_CHARACTERS] + ("…" if len(text) > _PREVIEW_CHARACTERS else ""))
    return shown


def _one_line(text: str) -> str:
    """The text without line breaks and terminal control characters, as long as before."""
    return "".join(character if character.isprintable() else " " for character in text)


COMMANDS = [samples]

"""`mistudio tokenization save|list|export|source`, `tokenize` and `tokens`: presets and their use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mistudio_pipelines.commands.session import (
    json_option,
    make_table,
    open_client,
    open_instance,
    open_store,
    prepared_instance,
    print_json,
    print_table,
)
from mistudio_pipelines.errors import ErrorCode, MistudioError

if TYPE_CHECKING:
    from mistudio_pipelines.tokenization.preview import Piece

_PIECES = ("black on bright_cyan", "black on bright_yellow", "black on bright_green", "black on bright_magenta")
_SPECIAL = "bold white on red"


def _preset_options(*, many_tokenizers: bool = False) -> Callable[[Any], Any]:
    """The options of a preset, for `save` and for `tokenize` alike."""
    tokenizer_help = "Id of a model on the Hub (openai-community/gpt2), or a folder."
    options = [
        click.option("--tokenizer", "tokenizers", multiple=True, help=tokenizer_help + " Several with --estimate.")
        if many_tokenizers
        else click.option("--tokenizer", help=tokenizer_help),
        click.option("--tokenizer-revision", help="Branch, tag or commit of it."),
        click.option("--token-name", help="NAME of the secret to use for it."),
        click.option("--mode", type=click.Choice(["packed", "padded", "per_document"]), help="How rows are made."),
        click.option("--context-size", type=click.IntRange(1), help="Tokens in a row. [default: the model's]"),
        click.option("--truncation", type=click.Choice(["truncate", "split", "none"]), help="Of long documents."),
        click.option("--stride", type=click.IntRange(0), help="Tokens that rows of one document have in common."),
        click.option("--padding", type=click.Choice(["max_length", "longest", "do_not_pad"]), help="Mode padded."),
        click.option("--add-special-tokens/--no-special-tokens", default=None, help="The tokenizer's own ones."),
        click.option("--begin-of-batch", help="auto, bos, eos, sep, a token id, or none."),
        click.option("--begin-of-sequence", help="bos, eos, sep, a token id, or none."),
        click.option("--separator", help="auto, bos, eos, sep, a token id, or none."),
        click.option("--shuffle-seed", type=click.IntRange(0), help="Shuffle the rows with this seed."),
        click.option("--column-name", help="Column of the tokens: input_ids or tokens."),
        click.option("--dtype", type=click.Choice(["int32", "int64", "uint16", "uint32"]), help="Type of a token."),
        click.option("--skip-invalid/--stop-at-invalid", default=None, help="Of texts that cannot be tokenized."),
        click.option("--split", "splits", multiple=True, help="Split to tokenize; may be repeated. [default: all]"),
    ]

    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@click.group()
def tokenization() -> None:
    """Tokenization presets: save one, list them."""


@tokenization.command()
@click.argument("name")
@_preset_options()
@json_option
def save(name: str, *, as_json: bool, **options: Any) -> None:
    """Save a preset under NAME, for example gpt2-1024. A saved preset does not change."""
    saved = _save(name, options)
    if as_json:
        print_json(saved)
    else:
        click.secho(f"Saved {saved['name']}: {saved['tokenizer']}, {saved['context_size']} tokens a row.", fg="green")


def _save(name: str, options: dict[str, Any]) -> dict[str, Any]:
    from mistudio_pipelines.defs.forms import preset_from_form
    from mistudio_pipelines.defs.registration import register_preset
    from mistudio_pipelines.defs.resources import HuggingFaceHub

    if not options.get("tokenizer"):
        raise MistudioError(
            ErrorCode.INVALID_PRESET,
            "A preset needs a tokenizer.",
            "Name one, for example `--tokenizer openai-community/gpt2`.",
        )
    preset = preset_from_form({"name": name, **{key: value for key, value in options.items() if value is not None}})
    store = open_store()
    HuggingFaceHub().prepare(store)
    with prepared_instance(store) as instance:
        return register_preset(instance, store, preset).model_dump(mode="json")


@tokenization.command(name="list")
@json_option
def list_command(*, as_json: bool) -> None:
    """List the saved presets."""
    from mistudio_pipelines.tokenization.presets import list_presets

    presets = list_presets(open_store())
    if as_json:
        print_json([preset.model_dump(mode="json") for preset in presets])
        return
    if not presets:
        click.echo(
            "No presets yet; `mistudio tokenization save gpt2-1024 --tokenizer openai-community/gpt2` saves one."
        )
        return
    table = make_table("name", "tokenizer", "mode", "context size", "splits", right=("context size",))
    for preset in presets:
        splits = ", ".join(preset.splits or ("all",))
        table.add_row(preset.name, preset.tokenizer, preset.mode, str(preset.context_size), splits)
    print_table(table)


@tokenization.command()
@click.argument("dataset_id")
@click.argument("preset")
@click.option(
    "--to", "folder", required=True, type=click.Path(path_type=Path), help="A folder that does not exist yet."
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["flat", "load_from_disk"]),
    default="flat",
    show_default=True,
    help="flat: one array of ids a split (.bin with .json); load_from_disk: a DatasetDict for `datasets`.",
)
def export(dataset_id: str, preset: str, *, folder: Path, kind: str) -> None:
    """Write the tokenization PRESET of a dataset in another form, for tools that do not read Parquet."""
    from mistudio_pipelines.tokenization.exporting import export_flat, export_for_load_from_disk

    write = export_flat if kind == "flat" else export_for_load_from_disk
    for path in write(open_store(), dataset_id, preset, folder.expanduser().resolve()):
        click.echo(path)


@tokenization.command()
@click.argument("dataset_id")
@click.argument("preset")
@click.option("--split", required=True, help="The split.")
@click.option("--row", required=True, type=click.IntRange(0), help="Row in the split, from 0.")
@json_option
def source(dataset_id: str, preset: str, *, split: str, row: int, as_json: bool) -> None:
    """Say which documents a row of tokens came from, and where in them."""
    from mistudio_pipelines.tokenization.sources import sources_of_row

    stretches = sources_of_row(open_store(), dataset_id, preset, split, row)
    if as_json:
        print_json([asdict(stretch) for stretch in stretches])
        return
    table = make_table("position in row", "tokens", "sample", "token in sample")
    for one in stretches:
        table.add_row(f"{one.position:,}", f"{one.length:,}", f"{one.sample:,}", f"{one.offset:,}")
    print_table(table)


@click.command()
@click.argument("dataset_id")
@click.option("--preset", help="A saved preset.")
@_preset_options(many_tokenizers=True)
@click.option("--estimate", "only_estimate", is_flag=True, help="Compare the tokenizers on texts of the dataset first.")
@click.option("--watch", "watch_it", is_flag=True, help="Follow it until it is done.")
@json_option
def tokenize(
    dataset_id: str, *, preset: str | None, only_estimate: bool, watch_it: bool, as_json: bool, **options: Any
) -> None:
    """Tokenize a dataset with a saved preset, or with one made here from the options."""
    tokenizers = options.pop("tokenizers")
    if only_estimate:
        _estimate(dataset_id, tokenizers, options, as_json=as_json)
        return
    if len(tokenizers) > 1:
        raise MistudioError(
            ErrorCode.INVALID_PRESET,
            "A preset has one tokenizer.",
            "Run the command once for each of them, or compare them with `--estimate`.",
        )
    options["tokenizer"] = tokenizers[0] if tokenizers else None
    _launch(dataset_id, preset, options, watch_it=watch_it)


def _launch(dataset_id: str, preset: str | None, options: dict[str, Any], *, watch_it: bool) -> None:
    from mistudio_pipelines.commands.following import follow_to_end
    from mistudio_pipelines.defs.operation import require_dataset, require_tokenization
    from mistudio_pipelines.defs.retrying import tokenization_run

    store = open_store()
    client = open_client(store)
    with open_instance(store) as instance:
        require_dataset(instance, store, dataset_id)
        if preset is None:
            preset = str(_save(_preset_name(options), options)["name"])
        require_tokenization(instance, preset)
    request = tokenization_run(dataset_id, preset)
    run_id = client.launch(request.job, tags=request.tags)
    click.echo(f"Started run {run_id[:8]}: {dataset_id} with {preset}.")
    if watch_it:
        follow_to_end(store, [dataset_id], tokenizations=[preset])


def _estimate(dataset_id: str, tokenizers: tuple[str, ...], options: dict[str, Any], *, as_json: bool) -> None:
    from mistudio_pipelines.defs.resources import HuggingFaceHub
    from mistudio_pipelines.progress import format_bytes
    from mistudio_pipelines.tokenization.estimate import estimate

    store = open_store()
    if not tokenizers:
        raise MistudioError(
            ErrorCode.INVALID_PRESET, "There is nothing to compare.", "Name tokenizers: `--tokenizer A --tokenizer B`."
        )
    HuggingFaceHub().prepare(store)
    found = estimate(store, dataset_id, tokenizers, options["context_size"], token_name=options["token_name"])
    if as_json:
        print_json([asdict(one) for one in found])
        return
    numbers = ("ids", "context", "tokens", "bytes/token", "rows", "disk", "minutes")
    table = make_table("tokenizer", *numbers, "engine", right=numbers)
    for one in found:
        table.add_row(
            one.tokenizer,
            f"{one.vocabulary_size:,}",
            f"{one.context_size:,}",
            f"{one.tokens:,}",
            f"{one.bytes_per_token:.2f}",
            f"{one.rows:,}",
            format_bytes(one.disk_bytes),
            f"{one.minutes:.2f}",
            one.engine,
        )
    print_table(table)
    if not all(one.exact for one in found):
        click.echo(f"Estimated from {found[0].sampled_documents:,} documents.")


@click.command()
@click.argument("dataset_id")
@click.option("--sample", "number", required=True, type=click.IntRange(0), help="Number of the sample.")
@click.option("--tokenizer", required=True, help="Id of a model on the Hub, or a folder.")
@click.option("--tokenizer-revision", help="Branch, tag or commit of it.")
@click.option("--token-name", help="NAME of the secret to use for it.")
@json_option
def tokens(
    dataset_id: str,
    *,
    number: int,
    tokenizer: str,
    tokenizer_revision: str | None,
    token_name: str | None,
    as_json: bool,
) -> None:
    """Show how a tokenizer cuts one sample into tokens: each piece in a colour, with its id."""
    from mistudio_pipelines.defs.resources import HuggingFaceHub
    from mistudio_pipelines.text.pages import read_whole_sample
    from mistudio_pipelines.tokenization.preview import preview_tokens

    store = open_store()
    _, text = read_whole_sample(store, dataset_id, number)
    HuggingFaceHub().prepare(store)
    pieces = preview_tokens(store, tokenizer, text or "", revision=tokenizer_revision, token_name=token_name)
    if as_json:
        print_json([asdict(piece) for piece in pieces])
    else:
        _print_pieces(pieces)


def _print_pieces(pieces: list[Piece]) -> None:
    from rich.console import Console
    from rich.text import Text

    shown = Text()
    for index, piece in enumerate(pieces):
        colour = _SPECIAL if piece.special else _PIECES[index % len(_PIECES)]
        visible = "".join(one if one.isprintable() else repr(one)[1:-1] for one in piece.text)
        shown.append(visible, style=colour)
        shown.append(f"{piece.id} ", style="dim")
    Console().print(shown)
    click.echo(f"{len(pieces):,} tokens.")


def _preset_name(options: dict[str, Any]) -> str:
    """A name that says what the preset is: the tokenizer's last part and the context size."""
    from mistudio_pipelines.store.ids import slugify

    tail = slugify(str(options.get("tokenizer") or "").rstrip("/").split("/")[-1]).replace("_", "-")
    mode = options.get("mode") or "packed"
    parts = [tail, str(options.get("context_size") or "default"), *([] if mode == "packed" else [mode])]
    return "-".join(parts)


COMMANDS = [tokenization, tokenize, tokens]

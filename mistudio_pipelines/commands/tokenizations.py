"""`mistudio tokenization save|list` and `mistudio tokenize`: presets and their use."""

from __future__ import annotations

from typing import Any

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


def _preset_options(command: Any) -> Any:
    """The options of a preset, for `save` and for `tokenize` alike."""
    options = [
        click.option("--tokenizer", help="Id of a model on the Hub (openai-community/gpt2), or a folder."),
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
    for option in reversed(options):
        command = option(command)
    return command


@click.group()
def tokenization() -> None:
    """Tokenization presets: save one, list them."""


@tokenization.command()
@click.argument("name")
@_preset_options
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


@click.command()
@click.argument("dataset_id")
@click.option("--preset", help="A saved preset.")
@_preset_options
@click.option("--watch", "watch_it", is_flag=True, help="Follow it until it is done.")
def tokenize(dataset_id: str, *, preset: str | None, watch_it: bool, **options: Any) -> None:
    """Tokenize a dataset with a saved preset, or with one made here from the options."""
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
            from mistudio_pipelines.commands.following import follow

            follow(instance, store, [dataset_id], tokenizations=[preset])


def _preset_name(options: dict[str, Any]) -> str:
    """A name that says what the preset is: the tokenizer's last part and the context size."""
    from mistudio_pipelines.store.ids import slugify

    tail = slugify(str(options.get("tokenizer") or "").rstrip("/").split("/")[-1]).replace("_", "-")
    mode = options.get("mode") or "packed"
    parts = [tail, str(options.get("context_size") or "default"), *([] if mode == "packed" else [mode])]
    return "-".join(parts)


COMMANDS = [tokenization, tokenize]

"""What a dataset repository holds and what downloading it would take: the plan, made before any data is fetched.

What belongs here: the order in which it is found out. What does not: the rules for configs and splits
(`hub/configs.py`), looking into files (`hub/peek.py`), fetching (`hub/download.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.hub import configs, estimate
from mistudio_pipelines.hub.card import DEFAULT_CONFIG, Card, parse_card
from mistudio_pipelines.hub.client import HubClient
from mistudio_pipelines.hub.configs import ConfigFiles
from mistudio_pipelines.hub.peek import Peek, peek
from mistudio_pipelines.hub.plan import RemoteFile, RepositoryPlan
from mistudio_pipelines.hub.refusals import Request, not_a_hub
from mistudio_pipelines.hub.tree import TreeFile, list_tree
from mistudio_pipelines.text.columns import choose_text_column

CONVERT_BRANCH = "refs/convert/parquet"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_CARD = "README.md"
_STANDALONE_YAML = ".huggingface.yaml"
_LARGEST_CARD = 8 * 1024 * 1024
_LONGEST_DESCRIPTION = 2_000


@dataclass(frozen=True)
class _Source:
    """A commit to take files from: the one asked for, or the Hub's conversion of it."""

    repository: str
    commit: str
    information: Mapping[str, Any]
    tree: Mapping[str, TreeFile]
    card: Card
    is_conversion: bool


def newest_revision(client: HubClient, repository: str, revision: str | None = None) -> str:
    """The commit that a branch or tag has now: one small request.

    Args:
        client: The Hub.
        repository: Id of the dataset repository.
        revision: Branch or tag, for example `RepositoryPlan.followed_revision`; None for the default branch.

    Raises:
        MistudioError: What the Hub refuses.
    """
    check_repository_id(repository)
    return str(_information(client, repository, revision)["sha"])


def check_repository_id(repository: str) -> str:
    """Return the id unchanged, or refuse it by huggingface_hub's own rules.

    Raises:
        MistudioError: `invalid_id`.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # exported lazily

    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise MistudioError(
            ErrorCode.INVALID_ID,
            f"'{repository[:200]}' is not the id of a dataset repository.",
            "Ids look like namespace/name, as in the address of the dataset's page.",
        ) from error
    return repository


def plan_repository(
    client: HubClient,
    repository: str,
    *,
    config: str | None = None,
    splits: Iterable[str] | None = None,
    revision: str | None = None,
    text_column: str | None = None,
) -> RepositoryPlan:
    """Validate everything that was asked for, and say what the download would fetch. No data is downloaded.

    Args:
        client: The Hub.
        repository: Id of the dataset repository.
        config: Its config; None for the default or only one.
        splits: Its splits; None for all.
        revision: Branch, tag or commit, also a commit of the Hub's conversion; None for the default branch.
        text_column: The column that holds the text; None to find it.

    Raises:
        MistudioError: `invalid_id`, `repository_not_found`, `authentication_required`, `access_denied`,
            `revision_not_found`, `unknown_split_or_config`, `no_text_column`, `unsupported_format`,
            `hub_unreachable`, `rate_limited`.
    """
    check_repository_id(repository)
    source = _open(client, repository, revision)
    source, chosen, found = _resolve(client, source, config, revision)
    names = configs.choose_splits(source.repository, chosen, found.splits, splits)
    first = _first_with_content(source.tree[path] for split in names for path in found.splits[split])
    seen = peek(client, source.repository, source.commit, first, found.file_format, found.reader_options)
    columns = _known_columns(seen, source.card.columns.get(chosen, {}))
    files = {
        split: tuple(_remote_file(client, source, source.tree[path], split) for path in found.splits[split])
        for split in names
    }
    column = _choose_column(source.repository, columns, text_column)
    download_bytes = sum(file.size for each in files.values() for file in each)
    return RepositoryPlan(
        repository=source.repository,
        requested_revision=revision,
        revision=source.commit,
        followed_revision=CONVERT_BRANCH if source.is_conversion else revision,
        config=chosen if source.card.configs or config is not None else None,
        configs=source.card.config_names,
        splits=files,
        available_splits=tuple(found.splits),
        file_format=found.file_format or str(seen.member_format),
        reader_options={**seen.member_options, **found.reader_options},
        text_column=column,
        columns=columns,
        via_convert_branch=source.is_conversion,
        license=_license(source.information),
        description=_description(source.information),
        download_bytes=download_bytes,
        pipeline_bytes=estimate.pipeline_bytes(
            download_bytes,
            found.file_format or str(seen.member_format),
            tuple(file.path for each in files.values() for file in each),
            text_share=seen.column_bytes.get(column, 0) / first.size if first.size else 0.0,
            table_bytes=sum(source.card.split_bytes.get(chosen, {}).get(split, 0) for split in names),
        ),
        last_modified=source.information.get("lastModified"),
    )


def _information(client: HubClient, repository: str, revision: str | None) -> dict[str, Any]:
    """The Hub's answer about a repository at a revision."""
    parts = () if revision is None else ("revision", revision)
    answer, _ = client.get_json(client.api_url(repository, *parts), Request(repository, revision))
    if not isinstance(answer, dict) or not isinstance(answer.get("id"), str):
        raise not_a_hub(client.endpoint)
    if not isinstance(answer.get("sha"), str) or not _COMMIT.fullmatch(answer["sha"]):
        raise not_a_hub(client.endpoint)
    return answer


def _open(client: HubClient, repository: str, revision: str | None) -> _Source:
    information = _information(client, repository, revision)
    name, commit = check_repository_id(information["id"]), information["sha"]
    tree = list_tree(client, name, commit)
    readme = _small_text(client, name, commit, tree.get(_CARD))
    standalone = _small_text(client, name, commit, tree.get(_STANDALONE_YAML))
    card = parse_card(name, readme, standalone)
    is_conversion = revision == CONVERT_BRANCH or (revision == commit and configs.is_conversion(tree))
    return _Source(name, commit, information, tree, card, is_conversion)


def _small_text(client: HubClient, repository: str, commit: str, file: TreeFile | None) -> str:
    if file is None:
        return ""
    request = Request(repository, commit, file.path)
    body, _ = client.get(client.file_url(repository, commit, file.path), request, at_most=_LARGEST_CARD)
    return body.decode("utf-8-sig", "replace")


def _resolve(
    client: HubClient, source: _Source, config: str | None, revision: str | None
) -> tuple[_Source, str, ConfigFiles]:
    """The chosen config with its files: of the repository itself, else of the Hub's conversion of it."""
    script = f"{source.repository.rpartition('/')[2]}.py"
    if source.is_conversion:
        return _resolve_conversion(source, config)
    if script in source.tree:
        conversion = _open_conversion(client, source, revision)
        if conversion is None:
            raise MistudioError(
                ErrorCode.UNSUPPORTED_FORMAT,
                f"Repository '{source.repository}' is read by a script ({script}), which is never run here"
                + (f", and only its newest version is converted, not '{revision}'." if revision else "."),
                f"The Hub has no Parquet conversion of it (branch {CONVERT_BRANCH}): ask its authors for data files.",
            )
        return _resolve_conversion(conversion, config)
    try:
        chosen = configs.choose_config(source.repository, source.card, config)
        found = configs.resolve_config(source.repository, source.tree, source.card.configs.get(chosen, {}))
        _check_format(source.repository, found)
    except MistudioError as error:
        if error.code is not ErrorCode.UNSUPPORTED_FORMAT:
            raise
        conversion = _open_conversion(client, source, revision)
        if conversion is None:
            raise
        return _resolve_conversion(conversion, config)
    return source, chosen, found


def _check_format(repository: str, found: ConfigFiles) -> None:
    if found.file_format is not None and found.file_format not in configs.SUPPORTED_FORMATS:
        raise MistudioError(
            ErrorCode.UNSUPPORTED_FORMAT,
            f"The files of repository '{repository}' are in a format without text rows ('{found.file_format}').",
            "Supported are Parquet, Arrow, JSON, JSON Lines, CSV, TSV and text, also compressed.",
        )


def _open_conversion(client: HubClient, source: _Source, revision: str | None) -> _Source | None:
    """The Hub's own conversion to Parquet, or None where there is none or it is not of the revision asked for."""
    if revision is not None and revision != "main":
        return None
    try:
        information = _information(client, source.repository, CONVERT_BRANCH)
    except MistudioError as error:
        if error.code is ErrorCode.REVISION_NOT_FOUND:
            return None
        raise
    tree = list_tree(client, source.repository, information["sha"])
    kept = {**source.information, "sha": information["sha"]}
    return _Source(source.repository, information["sha"], kept, tree, source.card, is_conversion=True)


def _resolve_conversion(source: _Source, config: str | None) -> tuple[_Source, str, ConfigFiles]:
    by_config = configs.conversion_layout(source.tree)
    if not by_config:
        raise MistudioError(
            ErrorCode.UNSUPPORTED_FORMAT,
            f"The Hub's Parquet conversion of '{source.repository}' is empty.",
            "Choose another dataset, or ask its authors for data files.",
        )
    named = Card(
        configs=by_config,
        default_config=DEFAULT_CONFIG if DEFAULT_CONFIG in by_config else None,
        columns=source.card.columns,
        split_bytes=source.card.split_bytes,
    )
    chosen = configs.choose_config(source.repository, named, config)
    source = _Source(source.repository, source.commit, source.information, source.tree, named, is_conversion=True)
    return source, chosen, ConfigFiles(by_config[chosen], "parquet", {})


def _first_with_content(files: Iterable[TreeFile]) -> TreeFile:
    """The first file that has any bytes; an empty shard says nothing of the others."""
    several = list(files)
    return next((file for file in several if file.size > 0), several[0])


def _known_columns(seen: Peek, declared: Mapping[str, str]) -> dict[str, str]:
    """What the file says; where it cannot tell (no values yet, an archive) what the card says."""
    if seen.columns is None:
        return dict(declared)
    return {
        name: declared.get(name, type_name) if type_name in ("null", "mixed") else type_name
        for name, type_name in seen.columns.items()
    }


def _choose_column(repository: str, columns: Mapping[str, str], requested: str | None) -> str:
    if columns:
        return choose_text_column(columns, requested)
    if requested is not None:
        return requested  # checked when the file is read
    raise MistudioError(
        ErrorCode.NO_TEXT_COLUMN,
        f"The columns of '{repository}' are known only after the download.",
        "Name the column that holds the text.",
    )


def _remote_file(client: HubClient, source: _Source, file: TreeFile, split: str) -> RemoteFile:
    url = client.file_url(source.repository, source.commit, file.path)
    return RemoteFile(file.path, file.size, file.sha256, file.git_sha1, split, url)


def _license(information: Mapping[str, Any]) -> str | None:
    data = information.get("cardData")
    value = data.get("license") if isinstance(data, dict) else None
    if isinstance(value, list):
        value = ", ".join(str(each) for each in value)
    return str(value)[:200] if value else None


def _description(information: Mapping[str, Any]) -> str | None:
    value = information.get("description")
    return " ".join(str(value).split())[:_LONGEST_DESCRIPTION] or None if value else None

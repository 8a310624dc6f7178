"""The job `browse_samples`: a page of samples in the UI and over GraphQL, as metadata of its one op."""

import dagster as dg
from pydantic import Field

from mistudio_pipelines.defs import names
from mistudio_pipelines.defs.descriptions import table
from mistudio_pipelines.defs.operation import operation
from mistudio_pipelines.defs.resources import DataStoreResource

_PREVIEW_CHARACTERS = 500
_LARGEST_PAGE = 200


class BrowseSamplesConfig(dg.Config):
    """The form for looking through samples."""

    dataset_id: str = Field(description="Id of the dataset.")
    search: str = Field(default="", description='Words, "exact phrases", prefix*, AND, OR, NOT, parentheses.')
    splits: list[str] = Field(default_factory=list, description="Only samples of these splits; empty: all.")
    min_tokens: int = Field(default=0, ge=0, description="Only samples of at least so many whitespace tokens.")
    max_tokens: int = Field(default=0, ge=0, description="Only samples of at most so many; 0: no limit.")
    page: int = Field(default=1, ge=1, description="Page, from 1.")
    page_size: int = Field(default=50, ge=1, le=_LARGEST_PAGE, description="Samples per page.")
    sort: str = Field(default="number", description="number, relevance, tokens or -tokens.")


@dg.op(
    name="browse",
    description="Find samples and show them in the metadata of the output.",
    out=dg.Out(dict, description="The page as JSON: total, page, pages, samples with their highlighted snippets."),
)
def browse_op(
    context: dg.OpExecutionContext, config: BrowseSamplesConfig, data_store: DataStoreResource
) -> dg.Output[dict]:  # type: ignore[type-arg]  # Dagster reads the annotation and knows only the bare class
    """Show one page of samples."""
    store = data_store.open()
    with operation(context, "browsing", config.dataset_id):
        from mistudio_pipelines.text.browsing import SampleQuery, browse
        from mistudio_pipelines.text.pages import page_values

        query = SampleQuery(
            search=config.search or None,
            splits=tuple(config.splits) or None,
            min_tokens=config.min_tokens or None,
            max_tokens=config.max_tokens or None,
            page=config.page,
            page_size=config.page_size,
            sort=config.sort,  # type: ignore[arg-type]  # refused with a sentence where it is none of the choices
        )
        values = page_values(browse(store, config.dataset_id, query))
    rows = [
        {
            "number": sample["number"],
            "split": sample["split"],
            "tokens": sample["tokens"],
            "text": " … ".join(sample["snippets"]) or (sample["text"] or "(null)")[:_PREVIEW_CHARACTERS],
        }
        for sample in values["samples"]
    ]
    shown = table(rows, {"number": "int", "split": "string", "tokens": "int", "text": "string"})
    metadata = {key: values[key] for key in ("total", "page", "pages", "elapsed_ms")}
    found = f"{values['total']:,} samples, page {values['page']} of {values['pages']}."
    context.log.info(values["removed_by"] or found)
    return dg.Output(values, metadata={**metadata, "samples": shown, "result": dg.MetadataValue.json(values)})


@dg.job(
    name=names.BROWSE_SAMPLES_JOB,
    description="Look through the samples of a dataset: search, filter, page. The result is in the metadata of the "
    "run's output. A terminal is quicker: `mistudio samples`.",
)
def browse_samples_job() -> None:
    """One op."""
    browse_op()

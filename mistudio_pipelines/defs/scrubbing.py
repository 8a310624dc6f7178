"""The sensor that has finished files read again in the background; what is read and how is `store/scrubbing.py`."""

import dagster as dg

from mistudio_pipelines.defs.resources import DataStoreResource
from mistudio_pipelines.logs import log_event
from mistudio_pipelines.progress import format_bytes
from mistudio_pipelines.store.audit import write_audit
from mistudio_pipelines.store.scrubbing import Scrubber

# About 2 MB/s: no download or training notices, and ten gigabytes are read in an hour and a half.
_SECONDS_BETWEEN_LOOKS = 30
_BYTES_PER_LOOK = 64 * 10**6
_scrubber = Scrubber()


@dg.sensor(
    minimum_interval_seconds=_SECONDS_BETWEEN_LOOKS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Reads every finished file once more after each start, slowly, and compares it with the hash that was noted "
        "when it was written. A dataset whose files the disk has changed turns to `error`, with what mends it."
    ),
)
def scrub_files(context: dg.SensorEvaluationContext, data_store: DataStoreResource) -> dg.SkipReason:
    """Read some of the files that are due."""
    store = data_store.open()
    damages = _scrubber.scrub(store, _BYTES_PER_LOOK)
    for damage in damages:
        part = damage.part
        context.log.error(f"{part.dataset_id}, {part.name}: {damage.problem}")
        log_event("damage_found", level="error", operation="scrubbing", dataset_id=part.dataset_id, part=part.name)
        write_audit(store, "damage_found", part.dataset_id, part=part.name, problem=damage.problem)
    found = f"{len(damages)} damaged part(s) found" if damages else "no damage found"
    return dg.SkipReason(f"At most {format_bytes(_BYTES_PER_LOOK)} read; {found}.")

"""Latency of searching and paging through samples, in a warm process, beside SQLite FTS5 and PostgreSQL GIN.

Ours is a whole page as a person gets it: number of hits, fifty samples read from Parquet, snippets. The others answer
with the number of hits and fifty sample numbers only, and so does ours once more for comparison. Queries are drawn
from the texts themselves, the worst phrases are the most frequent pairs of words.

    python benchmarks/search.py [--megabytes 1000] [--queries 100] [--only "ours|sqlite fts5"] [--folder /tmp/somewhere]
"""

from __future__ import annotations

import argparse
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import ingestion
from ingestion import DATASET
from mixed_corpus import make_mixed_corpus

from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.manifest import read_manifest
from mistudio_pipelines.text.browsing import SampleBrowser, SampleQuery
from mistudio_pipelines.text.filtering import Filters
from mistudio_pipelines.text.ingestion import ingest
from mistudio_pipelines.text.query import parse_query
from mistudio_pipelines.text.reading import read_samples
from mistudio_pipelines.text.search import SampleIndex

FREQUENT = ("the", "of", "to", "and", "a", "in", "for", "is", "that", "be", "this", "or", "with", "you", "an", "are")
WORST_PHRASES = ('"of the"', '"to the"', '"in the"', '"for the"', '"the name of the"', '"is a"', '"that the"')
PAGE = 50


def draw_queries(store: DataStore, count: int) -> dict[str, list[SampleQuery]]:
    """Queries of each kind, from words that occur."""
    manifest = read_manifest(store.raw(DATASET))
    generator = random.Random(0)
    numbers = [generator.randrange(manifest.rows) for _ in range(200)]
    rows = read_samples(store.raw(DATASET), manifest, numbers, ["text"])["text"].to_pylist()
    texts = [[word for word in text.split() if word.isalpha()] for text in rows]
    texts = [words for words in texts if len(words) > 5]

    def word() -> str:
        return generator.choice(generator.choice(texts))

    def phrase() -> str:
        words = generator.choice(texts)
        start = generator.randrange(len(words) - 3)
        return f'"{" ".join(words[start : start + generator.randint(2, 3)])}"'

    def deep(search: str | None) -> SampleQuery:
        return SampleQuery(search=search, page=generator.randint(1, max(1, manifest.rows // PAGE)))

    low = generator.randint
    return {
        "words": [SampleQuery(search=word()) for _ in range(count)],
        "frequent words": [SampleQuery(search=generator.choice(FREQUENT)) for _ in range(count)],
        "words, best first": [SampleQuery(search=word(), sort="relevance") for _ in range(count)],
        "AND": [SampleQuery(search=f"{word()} AND {word()}") for _ in range(count)],
        "OR NOT": [SampleQuery(search=f"({word()} OR {word()}) NOT {word()}") for _ in range(count)],
        "prefixes": [SampleQuery(search=f"{word()[:4]}*") for _ in range(count)],
        "words and filters": [
            SampleQuery(search=word(), splits=("train",), min_tokens=low(0, 100), max_tokens=low(100, 400))
            for _ in range(count)
        ],
        "filters alone": [SampleQuery(min_tokens=low(0, 100), max_tokens=low(100, 900)) for _ in range(count)],
        "longest first": [SampleQuery(sort="-tokens", page=low(1, 500)) for _ in range(count)],
        "deep pages": [deep(None) for _ in range(count)],
        "deep pages of words": [deep(generator.choice(FREQUENT[:4])) for _ in range(count)],
        "phrases": [SampleQuery(search=phrase()) for _ in range(count)],
        "worst phrases": [SampleQuery(search=generator.choice(WORST_PHRASES)) for _ in range(count)],
    }


def report(kind: str, answer: Callable[[SampleQuery], int], queries: list[SampleQuery]) -> None:
    """Percentiles of the time of each query, after a tenth of them as a warm-up."""
    for query in queries[: max(1, len(queries) // 10)]:
        answer(query)
    milliseconds, hits = [], []
    for query in queries:
        started = time.perf_counter()
        hits.append(answer(query))
        milliseconds.append((time.perf_counter() - started) * 1000)
    p50, p95, most = np.percentile(milliseconds, [50, 95, 100])
    print(
        f"  {kind:20} p50 {p50:8.1f}  p95 {p95:8.1f}  max {most:8.1f} ms   median hits {int(np.median(hits)):,}",
        flush=True,
    )


def run_ours(store: DataStore, queries: dict[str, list[SampleQuery]]) -> None:
    """Whole pages."""
    browser = SampleBrowser(store, DATASET)
    for kind, asked in queries.items():
        report(kind, lambda query: browser.browse(query).total, asked)
    program = (
        "import sys; from pathlib import Path; from mistudio_pipelines.store.layout import DataStore; "
        "from mistudio_pipelines.text.browsing import SampleQuery, browse; "
        f"browse(DataStore(Path(sys.argv[1])), '{DATASET}', SampleQuery(search='government'))"
    )
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", program, str(store.root)], check=True)
        seconds.append(time.perf_counter() - started)
    print(f"  a page in a new process: {np.median(seconds):.2f} s")


def run_numbers(store: DataStore, queries: dict[str, list[SampleQuery]]) -> None:
    """What the others do: number of hits and numbers of a page."""
    index = SampleIndex(store, DATASET)

    def answer(query: SampleQuery) -> int:
        filters = Filters(None, query.min_tokens, query.max_tokens)
        return index.page(parse_query(query.search or ""), filters, (query.page - 1) * PAGE, PAGE, query.sort)[0]

    for kind, asked in queries.items():
        if all(query.search for query in asked):
            report(kind, answer, asked)


def run_fts5(store: DataStore, queries: dict[str, list[SampleQuery]]) -> None:
    """Number of hits and numbers of a page."""
    ingestion.sqlite_fts5(store)
    database = sqlite3.connect(store.root / "fts5.sqlite")

    def answer(query: SampleQuery) -> int:
        match = (query.search or "").replace("*", " *").replace(" *", "*")
        (total,) = database.execute("SELECT count(*) FROM samples WHERE samples MATCH ?", (match,)).fetchone()
        page = "SELECT rowid FROM samples WHERE samples MATCH ? ORDER BY rowid LIMIT ? OFFSET ?"
        database.execute(page, (match, PAGE, (query.page - 1) * PAGE)).fetchall()
        return int(total)

    for kind, asked in queries.items():
        if all(query.search and query.min_tokens is None for query in asked):
            report(kind, answer, asked)


@contextmanager
def postgresql_session(psql: list[str]) -> Iterator[Callable[[str], str]]:
    """One warm connection; each statement's answer is its last line."""
    session = subprocess.Popen(psql, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def ask(statement: str) -> str:
        assert session.stdin is not None
        assert session.stdout is not None
        session.stdin.write(f"{statement};\n\\echo done\n")
        session.stdin.flush()
        last = ""
        while (line := session.stdout.readline().strip()) != "done":
            last = line
        return last

    try:
        yield ask
    finally:
        session.kill()
        session.wait()


def run_postgresql(store: DataStore, queries: dict[str, list[SampleQuery]]) -> None:
    """Number of hits and numbers of a page."""
    with ingestion.postgresql(store.root) as psql:
        ingestion.copy_texts(psql, store)
        ingestion.make_gin(psql)
        with postgresql_session(psql) as ask:
            ask("SET statement_timeout = '60s'")

            def answer(query: SampleQuery) -> int:
                words = (query.search or "").replace(" NOT ", " -").replace(" AND ", " ").replace("'", "''")
                where = f"words @@ websearch_to_tsquery('simple', '{words}')"
                if query.min_tokens is not None:
                    where += f" AND tokens BETWEEN {query.min_tokens} AND {query.max_tokens}"
                total = ask(f"SELECT count(*) FROM samples WHERE {where}")
                offset = (query.page - 1) * PAGE
                ask(f"SELECT number FROM samples WHERE {where} ORDER BY number LIMIT {PAGE} OFFSET {offset}")
                return int(total or 0)

            for kind, asked in queries.items():
                if all(query.search and "(" not in query.search and "*" not in query.search for query in asked):
                    report(kind, answer, asked[:20])


def main() -> None:
    """Make the dataset, index it in each way, and ask."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--only", default="ours|ours, numbers only|sqlite fts5|postgresql gin")
    parser.add_argument("--folder", type=Path, help="kept; otherwise a temporary folder")
    arguments = parser.parse_args()
    kept = nullcontext(arguments.folder) if arguments.folder else tempfile.TemporaryDirectory(prefix="search")
    with kept as folder:
        store = DataStore(Path(folder))
        make_mixed_corpus(store, DATASET, arguments.megabytes)
        made = ingest(store, DATASET)
        total = made.statistics.total
        share = made.index.bytes / total.bytes
        print(f"{total.samples:,} samples, {total.bytes / 1e6:.0f} MB of text, index {share:.2f} of it")
        queries = draw_queries(store, arguments.queries)
        ways = {
            "ours": run_ours,
            "ours, numbers only": run_numbers,
            "sqlite fts5": run_fts5,
            "postgresql gin": run_postgresql,
        }
        for way in arguments.only.split("|"):
            if way == "postgresql gin" and not (shutil.which("postgres") or Path("/usr/lib/postgresql").is_dir()):
                print(f"{way}: skipped, there is no PostgreSQL server in PATH")
                continue
            print(way)
            ways[way](store, queries)
        print(f"memory of this process {ingestion.peak_memory():.0f} MB")


if __name__ == "__main__":
    main()

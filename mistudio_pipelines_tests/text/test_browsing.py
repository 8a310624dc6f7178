"""Pages of samples: what is found is what plain Python finds, in a stable order, on any page."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.text import search
from mistudio_pipelines.text.browsing import SampleBrowser, SampleQuery, browse
from mistudio_pipelines.text.ingestion import ingest
from mistudio_pipelines.text.query import And, Not, Or, parse_query
from mistudio_pipelines.text.search_words import fold, search_words
from mistudio_pipelines_tests.text.raw_datasets import DATASET_ID, make_dataset

WORDS = [
    "cat",
    "cats",
    "catalog",
    "dog",
    "the",
    "of",
    "Café",
    "cafe",
    "naïve",
    "東京",
    "東",
    "3.14",
    "don't",
    "😀",
    "Straße",
]
SPLITS = {"train": 400, "validation": 60, "test": 140}


def random_texts(count: int, seed: int) -> list[str | None]:
    generator = random.Random(seed)
    texts: list[str | None] = [" ".join(generator.choices(WORDS, k=generator.randint(0, 12))) for _ in range(count)]
    texts[3] = None
    return texts


@pytest.fixture(scope="module")
def texts():
    return {split: random_texts(count, seed) for seed, (split, count) in enumerate(SPLITS.items())}


@pytest.fixture(scope="module")
def store(tmp_path_factory, texts):
    columns = {split: {"row": list(range(len(values)))} for split, values in texts.items()}
    store = make_dataset(tmp_path_factory.mktemp("data"), texts, columns=columns)
    ingest(store, DATASET_ID)
    return store


@pytest.fixture(scope="module")
def browser(store):
    browser = SampleBrowser(store, DATASET_ID)
    yield browser
    browser.close()


@cache
def read(text: str | None) -> tuple[list[str], int]:
    return search_words(text or ""), len((text or "").split())


def samples(texts):
    return [(split, *read(text)) for split, values in texts.items() for text in values]


def same_word(written: str, asked: str, prefix: bool) -> bool:
    spellings = {written} if fold(asked) != asked else {written, fold(written)}
    return any(spelling.startswith(asked) if prefix else spelling == asked for spelling in spellings)


def holds(words: list[str], node) -> bool:
    """What a query means, by the shortest Python there is."""
    if isinstance(node, Not):
        return not holds(words, node.part)
    if isinstance(node, And):
        return all(holds(words, part) for part in node.parts)
    if isinstance(node, Or):
        return any(holds(words, part) for part in node.parts)
    length = len(node.words)
    return any(
        all(
            same_word(words[start + place], asked, node.prefix and place == length - 1)
            for place, asked in enumerate(node.words)
        )
        for start in range(len(words) - length + 1)
    )


def expected(texts, query: SampleQuery) -> list[int]:
    node = parse_query(query.search) if query.search else None
    found = []
    for number, (split, words, tokens) in enumerate(samples(texts)):
        if node is not None and not holds(words, node):
            continue
        if query.splits and split not in query.splits:
            continue
        if not (query.min_tokens or 0) <= tokens <= (10**9 if query.max_tokens is None else query.max_tokens):
            continue
        found.append((number, tokens))
    if query.sort in ("tokens", "-tokens"):
        found.sort(key=lambda sample: (sample[1], sample[0]), reverse=query.sort == "-tokens")
    return [number for number, _ in found]


def everything(browser: SampleBrowser, query: SampleQuery) -> list[int]:
    """All pages of a query, one after the other."""
    first = browser.browse(query)
    numbers = [sample.number for sample in first.samples]
    for page in range(2, first.pages + 1):
        numbers += [sample.number for sample in browser.browse(replace(query, page=page)).samples]
    assert len(numbers) == first.total
    return numbers


atoms = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from(["cat*", "caf*", "café*", "na*", "d*", "東*", "don't*", "stras*", "the-caf*"]),
    st.sampled_from(["zebra", "straße", "strasse", "naive"]),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(lambda words: f'"{" ".join(words)}"'),
)
queries = st.recursive(
    atoms,
    lambda part: st.one_of(
        st.tuples(part, st.sampled_from([" ", " AND ", " OR ", " NOT "]), part).map("".join),
        part.map(lambda inner: f"({inner})"),
        part.map(lambda inner: f"NOT ({inner})"),
    ),
    max_leaves=5,
)
filters = st.builds(
    dict,
    splits=st.one_of(st.none(), st.lists(st.sampled_from(list(SPLITS)), max_size=2).map(tuple)),
    min_tokens=st.one_of(st.none(), st.integers(0, 6)),
    max_tokens=st.one_of(st.none(), st.integers(6, 14)),
    sort=st.sampled_from(["number", "tokens", "-tokens"]),
)


@settings(max_examples=120, deadline=None)
@given(queries, filters)
def test_a_search_finds_exactly_what_its_meaning_says(browser, texts, searched, filtered):
    query = SampleQuery(search=searched, page_size=1000, **filtered)
    page = browser.browse(query)
    wanted = expected(texts, query)
    assert [sample.number for sample in page.samples] == wanted
    assert page.total == len(wanted)
    assert (page.removed_by is None) == bool(wanted)


@settings(max_examples=60, deadline=None)
@given(filters, st.integers(1, 40), st.integers(1, 8))
def test_filters_alone_find_exactly_the_samples_they_describe(browser, texts, filtered, page_size, page):
    query = SampleQuery(page_size=page_size, page=page, **filtered)
    wanted = expected(texts, query)
    found = browser.browse(query)
    assert found.total == len(wanted)
    assert [sample.number for sample in found.samples] == wanted[(page - 1) * page_size :][:page_size]


@pytest.mark.parametrize("sort", ["number", "relevance", "tokens", "-tokens"])
@pytest.mark.parametrize("searched", ["cat", "the OR of", '"the of"', "NOT cat"])
def test_pages_never_overlap_and_leave_nothing_out(browser, texts, searched, sort):
    query = SampleQuery(search=searched, sort=sort, page_size=7)
    numbers = everything(browser, query)
    assert sorted(numbers) == expected(texts, SampleQuery(search=searched))
    assert numbers == everything(browser, query)
    if sort != "relevance":
        assert numbers == expected(texts, query)


def test_deep_pages_hold_what_the_first_pages_of_the_same_search_hold(browser, texts, monkeypatch):
    # The way to deep pages, taken from the first page on and with small buckets.
    monkeypatch.setattr(search, "_SHALLOW", -1)
    monkeypatch.setattr(search, "_BUCKET", 16)
    for searched in ("cat", "the OR of", '"the of"', "zebra", "NOT zebra"):
        for splits in (None, ("train", "test")):
            query = SampleQuery(search=searched, splits=splits, page_size=7)
            assert everything(browser, query) == expected(texts, query)


def test_phrases_of_many_spellings_are_found(browser, texts, monkeypatch):
    monkeypatch.setattr(search, "_MOST_PHRASES", 0)
    for searched in ('"cafe the"', '"the cafe"', '"cafe naive"', '"東京"', '"don\'t"'):
        query = SampleQuery(search=searched, page_size=1000)
        assert [sample.number for sample in browser.browse(query).samples] == expected(texts, query)


def test_a_sample_is_shown_with_text_tokens_split_and_other_columns(browser, texts):
    page = browser.browse(SampleQuery(splits=("validation",), page_size=1))
    (sample,) = page.samples
    assert (sample.number, sample.split) == (400, "validation")
    assert sample.text == texts["validation"][0]
    assert sample.tokens == len(sample.text.split())
    assert sample.metadata == {"row": 0}
    assert page.pages == page.total == 60
    assert page.elapsed_ms > 0


def test_a_null_text_is_shown_as_none(browser):
    (sample,) = browser.browse(SampleQuery(page=4, page_size=1)).samples
    assert (sample.text, sample.tokens, sample.snippets) == (None, 0, ())


@pytest.mark.parametrize(
    ("searched", "marked"),
    [
        ("cafe", ("café", "cafe")),
        ("café", ("café",)),
        ("東京", ("東京",)),
        ("cat*", ("cat", "cats", "catalog")),
        ('"the of"', ("the of",)),
        ("strasse", ("straße",)),
        ("don't", ("don't",)),
    ],
)
def test_every_hit_is_highlighted_as_it_is_written(browser, searched, marked):
    page = browser.browse(SampleQuery(search=searched, page_size=1000))
    assert page.samples
    for sample in page.samples:
        highlighted = [
            snippet.text[start:end].lower() for snippet in sample.snippets for start, end in snippet.highlights
        ]
        assert highlighted
        assert set(highlighted) <= set(marked)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        (SampleQuery(search="zebra"), "No sample matches the search zebra."),
        (SampleQuery(search="zebra", min_tokens=1), "No sample matches the search zebra."),
        (SampleQuery(min_tokens=900), "There are 600 samples, but none of these has at least 900 tokens."),
        (SampleQuery(min_tokens=10**30), f"There are 600 samples, but none of these has at least {10**30:,} tokens."),
        (SampleQuery(search="cat", page=10**30, min_tokens=900), None),
        (SampleQuery(page=99), "There is no page 99: 600 samples fill 12 pages."),
    ],
)
def test_no_result_says_which_wish_removed_everything(browser, query, told):
    page = browser.browse(query)
    assert page.samples == []
    assert told is None or page.removed_by == told
    assert page.removed_by


def test_no_result_says_how_many_hits_each_filter_left(browser, texts):
    searched = expected(texts, SampleQuery(search="cat"))
    in_test = expected(texts, SampleQuery(search="cat", splits=("test",)))
    told = browser.browse(SampleQuery(search="cat", splits=("test",), min_tokens=50, max_tokens=60)).removed_by
    assert f"{len(searched)} samples match the search" in told
    assert f"{len(in_test)} of them in split test" in told
    assert "50 to 60 tokens" in told


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (SampleQuery(splits=("dev",)), ErrorCode.UNKNOWN_SPLIT_OR_CONFIG),
        (SampleQuery(page=0), ErrorCode.INVALID_QUERY),
        (SampleQuery(page_size=0), ErrorCode.INVALID_QUERY),
        (SampleQuery(page_size=10**6), ErrorCode.INVALID_QUERY),
        (SampleQuery(sort="length"), ErrorCode.INVALID_QUERY),
        (SampleQuery(sort="relevance"), ErrorCode.INVALID_QUERY),
        (SampleQuery(min_tokens=5, max_tokens=4), ErrorCode.INVALID_QUERY),
        (SampleQuery(search='"'), ErrorCode.INVALID_QUERY),
    ],
)
def test_wishes_that_make_no_sense_are_refused(browser, query, code):
    with pytest.raises(MistudioError) as caught:
        browser.browse(query)
    assert caught.value.code == code
    assert caught.value.next_step


def test_without_an_index_pages_are_shown_but_searches_say_what_to_do(tmp_path):
    store = make_dataset(tmp_path, {"train": ["a b", "c"], "test": ["d"]})
    page = browse(store, DATASET_ID, SampleQuery(splits=("train",)))
    assert [(sample.number, sample.tokens) for sample in page.samples] == [(0, 2), (1, 1)]
    for query in (SampleQuery(search="a"), SampleQuery(min_tokens=1), SampleQuery(sort="tokens")):
        with pytest.raises(MistudioError) as caught:
            browse(store, DATASET_ID, query)
        assert caught.value.code == ErrorCode.INDEX_MISSING
        assert "sample_index" in caught.value.next_step


def test_an_open_browser_sees_a_new_index(tmp_path):
    store = make_dataset(tmp_path, {"train": ["old"]})
    ingest(store, DATASET_ID)
    browser = SampleBrowser(store, DATASET_ID)
    assert browser.browse(SampleQuery(search="old")).total == 1
    make_dataset(tmp_path, {"train": ["new", "new"]}, revision="r2")
    ingest(store, DATASET_ID)
    assert browser.browse(SampleQuery(search="new")).total == 2
    browser.close()
    assert browser.browse(SampleQuery(search="new")).total == 2
    browser.close()


def test_words_too_long_for_the_index_are_not_found_but_do_not_disturb_a_phrase(tmp_path):
    store = make_dataset(tmp_path, {"train": ["a " + "x" * 300 + " b", "a b"]})
    ingest(store, DATASET_ID)
    assert browse(store, DATASET_ID, SampleQuery(search="x" * 300)).total == 0
    assert browse(store, DATASET_ID, SampleQuery(search='"a b"')).total == 1


def test_a_phrase_that_stands_for_too_many_words_is_refused_and_the_index_not_blamed(tmp_path):
    store = make_dataset(tmp_path, {"train": [f"the w{number}" for number in range(40_000)]}, row_group_size=5000)
    ingest(store, DATASET_ID)
    assert browse(store, DATASET_ID, SampleQuery(search="w*")).total == 40_000
    with pytest.raises(MistudioError) as caught:
        browse(store, DATASET_ID, SampleQuery(search="the-w*"))
    assert caught.value.code == ErrorCode.INVALID_QUERY
    assert "more letters" in caught.value.next_step


@pytest.mark.parametrize("query", [SampleQuery(), SampleQuery(search="cat OR 東京", splits=("test",), max_tokens=6)])
def test_samples_are_counted_without_reading_them(browser, texts, query):
    assert browser.count(query) == len(expected(texts, query))


def test_a_whole_text_is_shown_with_every_place_that_a_search_finds(browser):
    text = "A cafe\u0301, the CATS and a cat; <b>catalog</b>"
    shown = browser.highlight(text, "cat* OR café")
    assert [shown.text[start:end] for start, end in shown.highlights] == ["café", "CATS", "cat", "catalog"]
    assert browser.highlight(text, " ").highlights == ()
    with pytest.raises(MistudioError):
        browser.highlight(text, '"open')

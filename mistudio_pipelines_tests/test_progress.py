"""Progress as people read it: percent, sizes, a rate that does not jump, time left."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mistudio_pipelines.progress import (
    Progress,
    RateMeter,
    format_bytes,
    format_count,
    format_seconds,
    ignore_progress,
    never_stop,
    progress_line,
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (999_499, "999 kB"),
        (999_600, "1 MB"),
        (800_000_000, "800 MB"),
        (2_300_000_000, "2.3 GB"),
        (999_700_000_000, "1 TB"),
        (12_345_678_901_234, "12.3 TB"),
        (5_000_000_000_000_000, "5000 TB"),
    ],
)
def test_sizes_are_short_and_never_a_thousand_of_the_smaller_unit(count, text):
    assert format_bytes(count) == text


@given(st.integers(0, 10**16))
def test_every_size_has_a_plain_number(count):
    text = format_bytes(count)
    assert "e" not in text
    number, unit = text.split()
    assert unit in ("B", "kB", "MB", "GB", "TB")
    assert unit == "TB" or float(number) < 1000


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0s"), (0.4, "0s"), (59.4, "59s"), (59.6, "1m00s"), (100, "1m40s"), (3599.6, "1h00m"), (11_100, "3h05m")],
)
def test_seconds_are_said_in_the_two_largest_units(seconds, text):
    assert format_seconds(seconds) == text


def test_counts_have_their_unit():
    assert format_count(1234567, "rows") == "1,234,567 rows"
    assert format_count(1_200_000, "bytes") == "1.2 MB"


def test_the_line_has_everything_that_is_known():
    line = progress_line(Progress(1_200_000_000, 2_600_000_000, "bytes", "downloading"), 14_000_000)
    assert line == "downloading 46% 1.2 GB of 2.6 GB 14 MB/s 1m40s left"
    assert progress_line(Progress(5, None, "rows"), None) == "5 rows"
    assert progress_line(Progress(5, 10, "tokens"), None) == "50% 5 tokens of 10 tokens"


@given(done=st.integers(0, 10**12), total=st.integers(1, 10**12))
def test_a_hundred_percent_means_that_nothing_is_left(done, total):
    line = progress_line(Progress(done, total, "rows"), 1.0)
    assert line.startswith("100%") == (done >= total)
    assert ("left" in line) == (done < total)


def test_percent_is_none_without_a_total_and_a_hundred_of_nothing():
    assert Progress(3, None).percent is None
    assert Progress(0, 0).percent == 100.0
    assert Progress(5, 4).percent == 100.0
    assert Progress(1, 4).percent == 25.0


def test_a_steady_rate_is_told_as_it_is():
    clock = Clock()
    meter = RateMeter(clock=clock)
    assert meter.update(0) is None
    for step in range(1, 50):
        clock.now += 0.5
        assert meter.update(step * 100) == pytest.approx(200)


def test_a_burst_does_not_make_the_rate_jump_and_a_lasting_change_does():
    clock = Clock()
    meter = RateMeter(half_life=5, clock=clock)
    done = 0
    meter.update(done)
    for _ in range(60):
        clock.now += 1
        done += 100
        rate = meter.update(done)
    clock.now += 1
    done += 1000
    assert rate < meter.update(done) < 3 * rate
    for _ in range(60):
        clock.now += 1
        done += 500
        rate = meter.update(done)
    assert rate == pytest.approx(500, rel=0.01)


def test_a_clock_that_stands_still_and_a_count_that_goes_back_do_no_harm():
    clock = Clock()
    meter = RateMeter(clock=clock)
    meter.update(10)
    assert meter.update(20) is None
    clock.now += 1
    assert meter.update(5) == 0


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(0, 10**9)), min_size=2))
def test_a_rate_is_never_negative_nor_above_the_fastest_moment(steps):
    clock = Clock()
    meter = RateMeter(clock=clock)
    done = 0
    meter.update(done)
    fastest = 0.0
    for seconds, more in steps:
        clock.now += seconds
        done += more
        rate = meter.update(done)
        assert rate is None or rate >= 0
        fastest = max(fastest, rate or 0)
    assert fastest < float("inf") or any(seconds < 1e-300 for seconds, _ in steps)


def test_the_defaults_do_nothing():
    assert never_stop() is False
    assert ignore_progress(Progress(1, 2)) is None

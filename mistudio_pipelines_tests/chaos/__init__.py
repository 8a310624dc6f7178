"""Faults at random moments over the whole pipeline; run with `pytest -m chaos -s`, which prints the counts."""

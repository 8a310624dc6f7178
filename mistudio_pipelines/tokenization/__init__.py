"""Turns samples into rows of tokens that trainers can use: presets, engines, rows, shards, proof.

Knows nothing of Dagster.
"""

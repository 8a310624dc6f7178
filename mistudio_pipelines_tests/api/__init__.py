"""Tests of the REST API, against a real data folder and a real Dagster instance."""

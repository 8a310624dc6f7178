"""Tests of mistudio_pipelines, laid out as the package is."""

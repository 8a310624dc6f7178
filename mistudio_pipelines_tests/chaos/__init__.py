"""Faults over the whole pipeline: a short run with fixed seeds always, the long one with `make chaos`."""

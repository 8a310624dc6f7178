"""Tests of the panel's pages; those in a real browser are in `live/test_panel.py`."""

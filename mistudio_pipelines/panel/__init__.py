"""The datasets panel: pages on top of the REST API, rendered on the server, with a little JavaScript.

`pages.add_panel` puts them into the API's application. What belongs here: what a person sees. What does not: rules
about datasets (the Python API), what is asked of it (`api/reading.py`, `api/actions.py`, which the endpoints use too).
"""

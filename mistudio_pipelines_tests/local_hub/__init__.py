"""The parts of the local Hub that `hub_server.py` puts together."""

"""The software-defined assets, one module each."""

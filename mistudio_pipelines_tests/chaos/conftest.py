"""The fixtures of the live tests and of the tests without live processes serve these too."""

from mistudio_pipelines_tests.defs.conftest import workshop
from mistudio_pipelines_tests.live.conftest import stack

__all__ = ["stack", "workshop"]

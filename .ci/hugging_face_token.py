"""A plugin of detect-secrets: tokens of the Hugging Face Hub, which it does not know of itself."""

from __future__ import annotations

import re

from detect_secrets.plugins.base import RegexBasedDetector


class HuggingFaceTokenDetector(RegexBasedDetector):
    """Finds user access tokens, wherever they stand."""

    secret_type = "Hugging Face Token"  # noqa: S105  (a name for people)
    # The made-up ones of our tests say Token.
    denylist = (re.compile(r"\bhf_(?![A-Za-z]*Token)[A-Za-z0-9]{30,}"),)

"""Texts on which tokenizer engines are most likely to differ. Data only, and the code points of Unicode.

What belongs here: what is compared. What does not: comparing (`engine_proof.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

_WORDS = (
    "I'll you've we're they'd he's it'm don't CAN'T I'LL Y'ALL 'tis ''s 'S",
    "state-of-the-art e.g. i.e. U.S.A. 3.14159 1,234,567 1234567890123 0x1F 1e-10 50% $5.00 #tag @user",
    "naïve café Ångström ﬁne ﬂow ſ ß ẞ İstanbul ıI ǅ Ⅷ ½ x² ㎏ ℃ ™",
    "e\u0301 o\u0308 n\u0303 \u1100\u1161\u11a8 \uac01",
    "\u0915\u094d\u0937 \u0e01\u0e33 \u0ba8\u0bbf a\u0300\u0301\u0302\u0303b",
    "漢字とカタカナとひらがな 한국어 조선말 中文，标点。「引号」 繁體字 々〆〇",
    "Привет мир Ελληνικά עברית العربية ١٢٣ हिन्दी १२३ ไทย ქართული አማርኛ ᚠᚢᚦ 𐍈𐌰 𒀀𒁀",
    "👍👍🏽👩‍👩‍👧‍👦🏳️‍🌈🇩🇪🇫🇷 ☺️☹︎ ❤️‍🔥 \U0001f6d8 \U0001fae8 1️⃣ ©️",
    "def f(x):\n\treturn x**2  # y = f(3)\n\n\n    if a != b && c <= d || !e { x += 1; }\r\n\r\n",
    "https://example.org/a/b?c=d&e=%20#f user@example.org C:\\Users\\name /usr/local/bin ~/.bashrc",
    "<b>bold</b> &amp; [link](x) `code` **strong** __init__ {{x}} <!-- c --> <|x|> <s> </s> [CLS] [SEP] <unk>",
)
_SPACES = (
    "",
    " ",
    "  ",
    "   ",
    " " * 17,
    "\t",
    "\n",
    "\n\n",
    "\n\n\n ",
    " \n",
    "\r",
    "\r\n",
    "\t\t \n\n x",
    " \u00a0 ",
)
_STRANGE_SPACES = (
    "\u00a0\u1680\u2000\u2003\u2009\u200a\u200b\u2028\u2029\u202f\u205f\u2060\u3000\ufeff\x85\x0b\x0c\x1c\x1f"
)
_CONTROLS = (
    "\x00\x01\x07\x08\x1b\x7f\x80\x9f\xad"
    "\u200c\u200d\u200e\u202a\u202e\u2066\ufff9\ufffd\ufffe\uffff\U000e0001\U0010ffff"
)
_RUNS = ("a", "A", "1", "!", ".", "=", "-", "é", "漢", "ก", "👍", "\u0301", "ab", " a", "a ", "\n", "_a1 ")


def hard_texts(special_tokens: Sequence[str]) -> list[str]:
    """The fixed hard sample, with the tokenizer's own special tokens written out in texts.

    Args:
        special_tokens: Contents of the tokenizer's special and added tokens.
    """
    texts = [*_WORDS, *_SPACES, " ".join(_WORDS), "\n".join(_WORDS)]
    texts += [f"{space}x{space}1{space}.{space}" for space in (*_SPACES, *_STRANGE_SPACES)]
    texts += [f"a{control}b {control} {control}{control}" for control in _CONTROLS]
    texts += [run * count for run in _RUNS for count in (2, 3, 5, 64, 257, 1500)]
    texts += [word.upper() for word in _WORDS] + [word.replace(" ", "") for word in _WORDS]
    for token in dict.fromkeys(special_tokens):
        texts += [token, f"a{token}b", f" {token} ", f"{token}{token}", f"x\n{token}\n y", token[:-1], token[1:]]
        texts += [token.lower(), token.upper(), f"{token[: len(token) // 2]} {token[len(token) // 2 :]}"]
    return texts


def in_contexts(code_point: int) -> str:
    """A code point after a space, between letters, doubled, and before a digit."""
    character = chr(code_point)
    return f" {character}a{character}{character}1\n"


def all_code_points() -> list[int]:
    """Every code point that can stand in a text: all but the surrogates."""
    return [*range(0xD800), *range(0xE000, 0x110000)]

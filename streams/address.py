"""What is an address to post to. It may be a secret, so nothing here quotes one: what Python's own errors do."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

EXPECTED: Final = "expected an address that begins with http:// or https://"
_FORM: Final = re.compile(r"https?://[^\s/?#]+[^\s]*")


def is_address(text: str) -> bool:
    """Whether it can be taken apart: a receiver that is built of one that cannot would end the process.

    >>> is_address("https://hooks.example/x"), is_address("http://[hooks.example/x"), is_address("http://hooks:x/")
    (True, False, False)
    """
    try:
        parts = urlsplit(text)
        return _FORM.fullmatch(text) is not None and parts.hostname is not None and parts.port != 0
    except ValueError:
        return False

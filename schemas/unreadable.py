"""What msgspec raises at bytes that it cannot read: more than its own error. Who forgets one is stopped by a record.

Text that is no UTF-8 is a UnicodeDecodeError where text is expected, and 100 000 brackets are a RecursionError.
"""

from __future__ import annotations

from typing import Final

import msgspec

UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

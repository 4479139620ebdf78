"""The event loop of a worker, and of the thread that fetches for it: uvloop, which does not linger over TLS.

Who closes a TLS connection says goodbye, and uvloop waits up to 30 s for the answer, which a broker in the middle of a
long poll does not give. Each partition that a worker restores closes one, and a rebalance would wait for all of them.
All that was to be acknowledged has been by then.
"""

from __future__ import annotations

from typing import Any, Final

import uvloop

GOODBYE_S: Final = 0.1


class Loop(uvloop.Loop):
    """Closes TLS connections at once."""

    async def create_connection(self, *args: Any, **settings: Any) -> Any:
        """As any loop's."""
        if settings.get("ssl"):
            settings.setdefault("ssl_shutdown_timeout", GOODBYE_S)
        return await super().create_connection(*args, **settings)

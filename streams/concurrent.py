"""Several things at once, of which the first that ends, ends all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any


async def first(*awaited: Awaitable[Any]) -> None:
    """Until one of these is done; the others are cancelled. Raises what it raised."""
    tasks = [asyncio.ensure_future(one) for one in awaited]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()

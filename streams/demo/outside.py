"""Whom the demo's tidegate tells what: a provider of machines, a gateway and a pager, all of them on this machine.

The provider is Hugging Face's API with the whole fleet behind it: what runs there is what the fleet has, and a
replica costs from the minute in which it starts to load.
"""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, Self

from schemas.outputs import Id
from streams.demo.incidents import Pages
from streams.demo.script import LOADS_S, QUOTA, UPDATES_S, WARM_S
from streams.simulator import Fleet
from streams.simulator.gateway import PATH, Gateway
from streams.simulator.hosting import Conditions, Hosted
from streams.simulator.hugging_face import HuggingFaceDouble
from streams.simulator.pagerduty import PagerDuty

HUB: Final = "hub"
GATEWAY: Final = "gateway"
PAGER: Final = "pager"
POLL_EVERY: Final = "250ms"
GROUP_INTERVAL: Final = "30s"  # what follows a page within half a minute is told in one
OWNER_ONLY: Final = 0o600


class Outside:
    """Serves while it is entered. The secrets are in files of `folder`. `clock`: seconds that never go back."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._clock, self._began_s = folder, clock, clock()
        self._secrets = {name: uuid.uuid4().hex for name in (HUB, GATEWAY, PAGER)}
        self.hub = HuggingFaceDouble((), clock, self._secrets[HUB])
        self.gateway = Gateway(self._secrets[GATEWAY])
        self.pager = PagerDuty()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._hub_url = await stack.enter_async_context(self.hub.serving())
            await stack.enter_async_context(self.gateway)
            await stack.enter_async_context(self.pager)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def host(self, fleet: Fleet) -> None:
        """From now on the whole fleet runs at the provider, as it is."""
        self._began_s = now_s = self._clock()
        for profile in fleet.profiles:
            self.hub.endpoints[profile.name] = Hosted(
                profile.name, profile.price_usd_per_hour, profile.min_replicas, QUOTA, wanted=fleet.wish(profile.name),
                conditions=Conditions(LOADS_S.get(profile.name, WARM_S), UPDATES_S),
            ).warm(now_s - WARM_S)  # fmt: skip

    def lead(self, fleet: Fleet) -> None:
        """From the next step on the fleet has what runs at the provider."""
        self.hub.lead(fleet)

    def pages(self) -> dict[Id, Pages]:
        """What the pager was told so far, by episode."""
        found: defaultdict[Id, Pages] = defaultdict(Pages)
        for incident in self.pager.incidents:
            told = Pages(1, incident.count("trigger"), incident.count("resolve"))
            found[incident.dedup_key] = found[incident.dedup_key].plus(told)
        return found

    def bill_usd(self, endpoints: Iterable[str]) -> float:
        """What the replicas cost that were started since the fleet runs here, by the started minute."""
        now_s = self._clock()
        return sum(self.hub[name].bill_usd(now_s, self._began_s) for name in endpoints)

    def settings(self) -> dict[str, Any]:
        """The sections of the configuration that lead here."""
        hub = {"type": "huggingface", "url": self._hub_url, "token_file": self._file(HUB), "poll_every": POLL_EVERY}
        gateway = {"type": "webhook", "actions": ["overflow"], "url": self.gateway.url + PATH}
        return {
            "executors": {HUB: hub, GATEWAY: {**gateway, "secret_file": self._file(GATEWAY)}},
            "receivers": {
                PAGER: {"type": "pagerduty", "url": self.pager.url, "routing_key_file": self._file(PAGER)},
            },
            "alerting": {"route": {"receiver": PAGER, "group_interval": GROUP_INTERVAL}},
        }

    def _file(self, name: str) -> str:
        return str(write_secret(self._folder / f"{name}.secret", self._secrets[name]))


def write_secret(file: Path, secret: str) -> Path:
    """A file that only its owner may read, at any time."""
    file.touch(OWNER_ONLY)
    file.write_text(secret)
    return file

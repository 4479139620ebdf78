"""What the administration API of a LiteLLM proxy says and takes, and how to ask it.

It has no way to take a limit away: a null is not heard. So NO_LIMIT_RPM, which no minute can reach, counts as none.
A model without fallbacks of its own is told those of `*`. Names with a slash have no place in the routes of fallbacks,
in most versions: the answer is then as if there were no such route.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final, NamedTuple
from urllib.parse import quote

from msgspec import Struct

from actions.executors.interface import Saved
from actions.failure import Failure
from actions.http import Body, Client, Site, parsed
from schemas.executors import LiteLLM

NO_LIMIT_RPM: Final = 2**31 - 1
EVERY_MODEL: Final = "*"
NONE_CONFIGURED: Final = "fallbacks configured for model"  # else a 404 says that there is no such route


class Parameters(Struct, frozen=True):
    """Of a deployment."""

    rpm: int | None = None


class Info(Struct, frozen=True):
    """About a deployment. One that is not in the database belongs to the proxy's own file."""

    id: str
    db_model: bool = False


class Deployment(Struct, frozen=True):
    """One of those that serve a model."""

    model_name: str
    litellm_params: Parameters
    model_info: Info

    @property
    def rpm(self) -> int | None:
        limit = self.litellm_params.rpm
        return None if limit is None or limit >= NO_LIMIT_RPM else limit


class Deployments(Struct, frozen=True):
    """What `/model/info` answers."""

    data: list[Deployment]


class Fallbacks(Struct, frozen=True):
    """What `/fallback/{model}` answers."""

    fallback_models: list[str]


class Model(NamedTuple):
    """How things are with a model. `fallbacks` None: this proxy cannot tell. `own`: not those of every model."""

    name: str
    deployments: tuple[Deployment, ...]
    fallbacks: list[str] | None
    own: bool

    @property
    def rpm(self) -> dict[str, int | None]:
        """The limit of each deployment."""
        return {deployment.model_info.id: deployment.rpm for deployment in self.deployments}

    @property
    def is_in_database(self) -> bool:
        return all(deployment.model_info.db_model for deployment in self.deployments)

    @property
    def saved(self) -> Saved:
        return {"rpm": self.rpm, "fallbacks": self.fallbacks, "own_fallbacks": self.own}


class Proxy:
    """Reads and changes models."""

    def __init__(self, settings: LiteLLM) -> None:
        secrets = () if settings.key is None else (settings.key.reveal(),)
        headers = {"authorization": f"Bearer {secrets[0]}"} if secrets else {}
        self._client = Client(Site("litellm", settings.url, settings.timeout, headers, secrets))

    async def model(self, name: str) -> Model | Failure:
        answer = await self._client.send("GET", "/model/info")
        known = answer if isinstance(answer, Failure) else parsed(answer, Deployments)
        if isinstance(known, Failure):
            return known
        deployments = tuple(each for each in known.data if each.model_name == name)
        if not deployments:
            return Failure(f"litellm: the proxy has no model {name}", retryable=False)
        fallbacks = await self._fallbacks(name)
        shared = await self._fallbacks(EVERY_MODEL) if fallbacks else None
        if isinstance(fallbacks, Failure):
            return fallbacks
        if isinstance(shared, Failure):
            return shared
        return Model(name, deployments, fallbacks, own=bool(fallbacks) and fallbacks != shared)

    async def limit(self, rpm: Mapping[str, int | None]) -> Failure | None:
        """Give each deployment its limit; None: none."""
        for name, limit in rpm.items():
            body = Body(json={"litellm_params": {"rpm": NO_LIMIT_RPM if limit is None else limit}})
            answer = await self._client.send("PATCH", f"/model/{quote(name, safe='')}/update", body)
            if isinstance(answer, Failure):
                return answer
        return None

    async def fall_back(self, name: str, to: list[str]) -> Failure | None:
        """Give the model these fallbacks of its own; none: it has those of every model."""
        if to:
            answer = await self._client.send("POST", "/fallback", Body(json={"model": name, "fallback_models": to}))
        else:
            answer = await self._client.send("DELETE", f"/fallback/{quote(name, safe='')}")
        return answer if isinstance(answer, Failure) else None

    async def close(self) -> None:
        await self._client.close()

    async def _fallbacks(self, name: str) -> list[str] | Failure | None:
        answer = await self._client.send("GET", f"/fallback/{quote(name, safe='')}")
        if isinstance(answer, Failure):
            if answer.status != HTTPStatus.NOT_FOUND:
                return answer
            return [] if NONE_CONFIGURED in answer.reason else None
        told = parsed(answer, Fallbacks)
        return told if isinstance(told, Failure) else told.fallback_models

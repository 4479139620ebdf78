"""A LiteLLM proxy: how many requests a minute a model takes, and to which models the others fall back.

A throttle sets `rpm` of each deployment of the model to an even share of the limit, where it is not lower already. The
proxy must have its models in its database (`STORE_MODEL_IN_DB`), and refuses requests only with
`optional_pre_call_checks: [enforce_model_rate_limits]`; without, `rpm` merely steers them.

An overflow puts the provider's model first among the fallbacks of the model, and is a throttle too, if it has a limit:
a request falls back when it is refused or fails. So the fallbacks go first, and come off last.

Only a limit that still is as a brake of the chain has set it comes back. Whatever else it is by then, somebody else has
chosen; so with other fallbacks that came or went.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from actions.executors.chain import settings, with_setting
from actions.executors.interface import Plan, Reading, Saved
from actions.executors.litellm_api import Model, Proxy
from actions.failure import Failure
from schemas.executors import LiteLLM
from schemas.outputs import Action, Command

MINUTE_S: Final = 60
LEVERS: Final = ("rpm", "fallbacks")


class Ask(NamedTuple):
    """What a command asks for: a limit of the whole model, a model to fall back to, or both."""

    limit_rpm: int | None
    fallback: str | None

    def share_rpm(self, before: Saved) -> int | None:
        """The most of each deployment. It depends on what was, not on what is: it is the same after a crash."""
        return None if self.limit_rpm is None else max(1, self.limit_rpm // len(before["rpm"]))

    def lowered(self, model: Model, before: Saved) -> dict[str, int]:
        """The deployments that are not down to it, and to what they go."""
        share, now = self.share_rpm(before), model.rpm
        if share is None:
            return {}
        return {name: share for name in before["rpm"] if name in now and _above(now[name], share)}

    def put_back(self, model: Model, before: Saved) -> dict[str, int | None]:
        """The deployments that are as a brake has lowered them, and to what they go back."""
        now, was, ours = model.rpm, before["rpm"], settings(before, self.share_rpm(before))
        return {name: limit for name, limit in was.items() if _is_lowered(now.get(name), limit) and now[name] in ours}

    def fallbacks(self, model: Model) -> list[str] | None:
        """What they are to be; None: they are so already."""
        if self.fallback is None or _is_first(self.fallback, model.fallbacks):
            return None
        return [self.fallback, *(name for name in model.fallbacks or () if name != self.fallback)]

    def fallbacks_back(self, model: Model, before: Saved) -> list[str] | None:
        """What they go back to, none at all included; None: ours is not among them any more, or always was."""
        ours, was = self.fallback, before["fallbacks"] or []
        if ours is None or not _is_first(ours, model.fallbacks) or _is_first(ours, was):
            return None
        rest = [name for name in model.fallbacks or () if name != ours]
        if rest != [name for name in was if name != ours]:
            return rest  # somebody else has changed the others
        return was if before["own_fallbacks"] else []


class LiteLLMExecutor:
    """One proxy. Its key must be an administrator's."""

    def __init__(self, settings: LiteLLM) -> None:
        self._models, self._providers = settings.models, settings.providers
        self._proxy = Proxy(settings)

    async def plan(self, command: Command) -> Plan | Failure:
        look = await self._look(command)
        if isinstance(look, Failure):
            return look
        ask, model = look
        if why := _cannot(ask, model):
            return Failure(f"litellm: {model.name}: {why}", retryable=False)
        lowered, fallbacks, now = ask.lowered(model, model.saved), ask.fallbacks(model), model.rpm
        changes = [f"rpm of {model.name} ({name}): {now[name]} -> {rpm}" for name, rpm in lowered.items()]
        if fallbacks is not None:
            changes.append(f"fallbacks of {model.name}: {model.fallbacks} -> {fallbacks}")
        share = ask.share_rpm(model.saved)
        before = model.saved if share is None else with_setting(model.saved, command, share)
        return Plan(before, tuple(changes))

    async def apply(self, command: Command, before: Saved) -> Failure | None:
        look = await self._look(command)
        if isinstance(look, Failure):
            return look
        ask, model = look
        fallbacks = ask.fallbacks(model)
        if fallbacks is not None and (failure := await self._proxy.fall_back(model.name, fallbacks)):
            return failure
        return await self._proxy.limit(ask.lowered(model, before))

    async def undo(self, command: Command, before: Saved) -> Failure | None:
        look = await self._look(command)
        if isinstance(look, Failure):
            return look
        ask, model = look
        if failure := await self._proxy.limit(ask.put_back(model, before)):
            return failure
        fallbacks = ask.fallbacks_back(model, before)
        return None if fallbacks is None else await self._proxy.fall_back(model.name, fallbacks)

    async def read_back(self, command: Command, back_to: Saved | None = None) -> Reading | Failure:
        look = await self._look(command)
        if isinstance(look, Failure):
            return look
        ask, model = look
        if back_to is None:
            return Reading(model.saved, _not_yet(ask, model))
        if ask.put_back(model, back_to) or ask.fallbacks_back(model, back_to) is not None:
            return Reading(model.saved, f"{model.name}: still as the command left it")
        now = model.saved
        kept = [f"{what} stays {now[what]}, was {back_to[what]}" for what in LEVERS if now[what] != back_to[what]]
        return Reading({**now, "kept": kept} if kept else now, None)

    async def close(self) -> None:
        await self._proxy.close()

    async def _look(self, command: Command) -> tuple[Ask, Model] | Failure:
        ask = self._ask(command)
        if isinstance(ask, Failure):
            return ask
        model = await self._proxy.model(self._models.get(command.endpoint, command.endpoint))
        return model if isinstance(model, Failure) else (ask, model)

    def _ask(self, command: Command) -> Ask | Failure:
        limit_rps = command.parameters.get("max_requests_per_second")
        provider = command.parameters.get("provider") if command.action is Action.OVERFLOW else None
        if command.action is Action.SHUTDOWN or (limit_rps is None and provider is None):
            why = f"a {command.action} with nothing but {sorted(command.parameters)} cannot be done by a proxy"
            return Failure(f"litellm: {command.endpoint}: {why}", retryable=False)
        limit_rpm = None if limit_rps is None else max(1, int(limit_rps * MINUTE_S))
        return Ask(limit_rpm, None if provider is None else self._providers.get(provider, provider))


def _cannot(ask: Ask, model: Model) -> str | None:
    """Why the proxy would refuse."""
    if ask.limit_rpm is not None and not model.is_in_database:
        return "a deployment is in the proxy's own file; only those in its database can be changed"
    if ask.fallback is not None and model.fallbacks is None:
        return "the proxy cannot tell its fallbacks: it is too old, or the name has a slash (map it with `models`)"
    return None


def _not_yet(ask: Ask, model: Model) -> str | None:
    """What is still not as it was asked for, of what there is now."""
    limits = list(model.rpm.values())
    if ask.limit_rpm is not None:
        total = sum(limit for limit in limits if limit is not None)
        if None in limits or total > max(ask.limit_rpm, len(limits)):
            return f"{model.name}: rpm is {limits}, not {ask.limit_rpm} in all"
    if ask.fallback is not None and not _is_first(ask.fallback, model.fallbacks):
        return f"{model.name}: falls back to {model.fallbacks}, not first to {ask.fallback}"
    return None


def _above(now: int | None, rpm: int) -> bool:
    return now is None or now > rpm


def _is_lowered(now: int | None, was: int | None) -> bool:
    return now is not None and _above(was, now)


def _is_first(name: str, fallbacks: list[str] | None) -> bool:
    return fallbacks is not None and fallbacks[:1] == [name]

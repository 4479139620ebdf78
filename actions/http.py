"""One HTTP request to an outside system, and what may come of it as a value. No retries: who asks decides on these."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final, NamedTuple, TypeVar

import httpx
import msgspec

from actions.failure import Failure

T = TypeVar("T")

QUOTED: Final = 200  # characters of an answer that a reason quotes
MOST_RETRY_AFTER_S: Final = 3600.0
NOT_REACHED: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
RETRYABLE: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


class Site(NamedTuple):
    """A system to talk to. `timeout_s` is of a whole request; no reason contains any of `secrets`, whoever says it."""

    name: str
    base_url: str
    timeout_s: float
    headers: Mapping[str, str] = {}
    secrets: tuple[str, ...] = ()
    verify: ssl.SSLContext | bool = True


class Body(NamedTuple):
    """What a request carries, beside its path. `secrets`: those of this request alone, such as a token that rotates."""

    json: object = None
    content: bytes | None = None
    params: Mapping[str, str | int] | None = None
    headers: Mapping[str, str] = {}
    secrets: tuple[str, ...] = ()


NO_BODY: Final = Body()


class Client:
    """Talks to one site. The address and the credentials of a request appear in no message."""

    def __init__(self, site: Site) -> None:
        self._site, self._base = site, site.base_url.rstrip("/")
        is_tls = self._base.startswith(
            "https:"
        )  # without, there is nothing to verify, and no need to read whom to trust
        self._client = httpx.AsyncClient(
            headers=dict(site.headers),
            timeout=site.timeout_s,
            verify=site.verify if is_tls else False,
            follow_redirects=False,
        )

    async def send(
        self, method: str, path: str = "", body: Body = NO_BODY, shown: str | None = None
    ) -> httpx.Response | Failure:
        """The answer to a request that was understood (2xx), else why not; `shown` names the path if it is secret."""
        asked = f"{self._site.name}: {method} {path if shown is None else shown}".rstrip()
        try:
            async with asyncio.timeout(self._site.timeout_s):
                answer = await self._client.request(
                    method, self._base + path, headers=dict(body.headers), params=body.params,
                    **_content(body),
                )  # fmt: skip
        except NOT_REACHED as error:
            reason = f"{asked}: {type(error).__name__} {error}".rstrip()
            return Failure(self._without_secrets(reason, body), retryable=True, nothing_done=True)
        except (httpx.TimeoutException, TimeoutError):
            return Failure(f"{asked}: no answer in time", retryable=True)
        except httpx.TransportError as error:  # reset, cut off: it may or may not have been done
            reason = f"{asked}: {type(error).__name__} {error}".rstrip()
            return Failure(self._without_secrets(reason, body), retryable=True)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            return Failure(f"{asked}: the address cannot be used", retryable=False)
        if answer.is_success:
            return answer
        return self._refused(asked, answer, body)

    async def close(self) -> None:
        await self._client.aclose()

    def _refused(self, asked: str, answer: httpx.Response, body: Body) -> Failure:
        retryable = answer.is_server_error or answer.status_code in RETRYABLE
        said = " ".join(self._without_secrets(answer.text, body).split())[:QUOTED]  # in this order: no half of a secret
        reason = f"{asked}: {answer.status_code} {said}".rstrip()
        asks_for_s = retry_after_s(answer.headers) if retryable else None
        said_no = answer.is_client_error or answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE
        return Failure(reason, retryable, asks_for_s, answer.status_code, said_no)

    def _without_secrets(self, text: str, body: Body) -> str:
        for secret in (*self._site.secrets, *body.secrets):
            text = text.replace(secret, "<secret>")
        return text


def parsed(answer: httpx.Response, kind: type[T]) -> T | Failure:
    """What the answer says, as a struct: what is not in it is not looked at, and what is must be of its type."""
    try:
        return msgspec.json.decode(answer.content, type=kind)
    except msgspec.MsgspecError as error:  # a gateway's page, or not the system that this was thought to be
        asked = f"{answer.request.method} {answer.request.url.path}"
        return Failure(f"{asked}: not the answer that was expected: {error}", retryable=True)


def _content(body: Body) -> dict[str, Any]:
    return {"json": body.json} if body.content is None else {"content": body.content}


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """How long the other side asks to wait: seconds, or until a date (RFC 9110); None: it says nothing."""
    told = headers.get("retry-after", "").strip()
    if told.isdigit():
        return min(float(told), MOST_RETRY_AFTER_S)
    try:
        until = parsedate_to_datetime(told)
    except ValueError:
        return None
    until = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
    return min(max(0.0, (until - datetime.now(UTC)).total_seconds()), MOST_RETRY_AFTER_S)

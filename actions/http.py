"""One HTTP request to an outside system, and what may come of it as a value. No retries: who asks decides on these."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import httpx

from actions.failure import Failure

QUOTED: Final = 200  # characters of an answer that a reason quotes
MOST_RETRY_AFTER_S: Final = 3600.0
RETRYABLE: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


class Site(NamedTuple):
    """A system to talk to. `timeout_s` is of a whole request; no reason contains any of `secrets`, whoever says it."""

    name: str
    base_url: str
    timeout_s: float
    headers: Mapping[str, str] = {}
    secrets: tuple[str, ...] = ()
    verify: ssl.SSLContext | bool = True

    def __repr__(self) -> str:
        return f"Site({self.name!r})"  # the address and the headers may be secret, too


class Body(NamedTuple):
    """What a request carries, beside its path."""

    json: object = None
    content: bytes | None = None
    params: Mapping[str, str | int] | None = None
    headers: Mapping[str, str] = {}


NO_BODY: Final = Body()


class Client:
    """Talks to one site. The address and the credentials of a request appear in no message."""

    def __init__(self, site: Site) -> None:
        self._site, self._base = site, site.base_url.rstrip("/")
        self._hidden = sorted({form for secret in site.secrets for form in _forms(secret)}, key=len, reverse=True)
        self._client = httpx.AsyncClient(
            headers=_encoded(site.headers), timeout=site.timeout_s, verify=site.verify, follow_redirects=False
        )

    async def send(
        self, method: str, path: str = "", body: Body = NO_BODY, shown: str | None = None
    ) -> httpx.Response | Failure:
        """The answer to a request that was understood (2xx), else why not; `shown` names the path if it is secret."""
        asked = f"{self._site.name}: {method} {path if shown is None else shown}".rstrip()
        try:
            async with asyncio.timeout(self._site.timeout_s):
                answer = await self._client.request(
                    method, self._base + path, headers=_encoded(body.headers), params=body.params,
                    **_content(body),
                )  # fmt: skip
        except (httpx.TimeoutException, TimeoutError):
            return Failure(f"{asked}: no answer in time", retryable=True)
        except httpx.LocalProtocolError:  # its message quotes the header, in its own words
            return Failure(f"{asked}: a header or a credential has characters that cannot be sent", retryable=False)
        except httpx.TransportError as error:  # refused, reset, cut off: it may or may not have been done
            return Failure(self._without_secrets(f"{asked}: {type(error).__name__} {error}".rstrip()), retryable=True)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            return Failure(f"{asked}: the address cannot be used", retryable=False)
        if answer.is_success:
            return answer
        return self._refused(asked, answer)

    async def close(self) -> None:
        await self._client.aclose()

    def _refused(self, asked: str, answer: httpx.Response) -> Failure:
        retryable = answer.is_server_error or answer.status_code in RETRYABLE
        said = " ".join(self._without_secrets(answer.text).split())[:QUOTED]  # in this order: no half of one is left
        reason = self._without_secrets(f"{asked}: {answer.status_code} {said}".rstrip())
        return Failure(reason, retryable, retry_after_s(answer.headers) if retryable else None)

    def _without_secrets(self, text: str) -> str:
        for written in self._hidden:
            text = text.replace(written, "<secret>")
        return text


def _forms(secret: str) -> Iterator[str]:
    """How a secret may be written where it is repeated: as it is, in JSON, in an address, by a programming language."""
    misread = secret.encode().decode("latin-1")
    forms = (secret, json.dumps(secret)[1:-1], quote(secret, safe=""), repr(secret)[1:-1], misread)
    yield from filter(None, forms)


def _encoded(headers: Mapping[str, str]) -> dict[bytes, bytes]:
    """In UTF-8: the other side shall say what it thinks of a credential, not the encoder."""
    return {name.encode(): value.encode() for name, value in headers.items()}


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

"""One HTTP request to an outside system, and what may come of it as a value. No retries: who asks decides on these."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from actions.failure import Failure
from schemas.unreadable import UNREADABLE

T = TypeVar("T")

QUOTED: Final = 200  # characters of an answer that a reason quotes
MOST_BYTES: Final = 16 * 1024 * 1024  # of an answer; a proxy with thousands of models tells of them in some of that
OF_THE_BODY: Final = frozenset({"content-encoding", "content-length", "content-type", "transfer-encoding"})
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

    def __repr__(self) -> str:
        return f"Site({self.name!r})"  # the address and the headers may be secret, too


class Body(NamedTuple):
    """What a request carries, beside its path. `secrets`: those of this request alone, such as a token that rotates."""

    json: object = None
    content: bytes | None = None
    params: Mapping[str, str | int] | None = None
    headers: Mapping[str, str] = {}
    secrets: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "Body(...)"


NO_BODY: Final = Body()


class Client:
    """Talks to one site. The address and the credentials of a request appear in no message."""

    def __init__(self, site: Site) -> None:
        self._site, self._base = site, site.base_url.rstrip("/")
        is_tls = self._base.startswith("https:")  # without, there is nothing to verify, nor whom to trust to be read
        self._client = httpx.AsyncClient(
            headers=_encoded(site.headers),
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
                answer = await self._answer(method, self._base + path, body)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            return self._failed(asked, error, body)
        if answer.is_success:
            return answer
        return self._refused(asked, answer, body)

    async def close(self) -> None:
        await self._client.aclose()

    async def _answer(self, method: str, url: str, body: Body) -> httpx.Response:
        """The answer, cut at what fits into memory: who sends more is not who this is thought to be."""
        content, headers = bytearray(), _encoded(body.headers)
        async with self._client.stream(method, url, headers=headers, params=body.params, **_content(body)) as answer:
            async for chunk in answer.aiter_bytes():
                content += chunk
                if len(content) >= MOST_BYTES:
                    break
        told = [(name, value) for name, value in answer.headers.multi_items() if name not in OF_THE_BODY]
        return httpx.Response(
            answer.status_code, headers=told, content=bytes(content[:MOST_BYTES]), request=answer.request
        )

    def _failed(self, asked: str, error: Exception, body: Body) -> Failure:
        """No answer: it was not understood here, not sent, or may have been done all the same."""
        match error:
            case httpx.InvalidURL() | httpx.UnsupportedProtocol():
                return Failure(f"{asked}: the address cannot be used", retryable=False)
            case httpx.LocalProtocolError():  # its message quotes the header, in its own words
                reason = f"{asked}: a header or a credential has characters that cannot be sent"
                return Failure(reason, retryable=False)
        is_unreached = isinstance(error, NOT_REACHED)
        if isinstance(error, httpx.TimeoutException | TimeoutError) and not is_unreached:
            return Failure(f"{asked}: no answer in time", retryable=True)
        reason = f"{asked}: {type(error).__name__} {error}".rstrip()
        return Failure(self._without_secrets(reason, body), retryable=True, nothing_done=is_unreached)

    def _refused(self, asked: str, answer: httpx.Response, body: Body) -> Failure:
        retryable = answer.is_server_error or answer.status_code in RETRYABLE
        text = answer.content.decode(
            "utf-8", "replace"
        )  # the charset that it claims may be none that says what text is
        said = " ".join(self._without_secrets(text, body).split())[:QUOTED]  # in this order: no half of a secret
        reason = f"{asked}: {answer.status_code} {said}".rstrip()
        asks_for_s = retry_after_s(answer.headers) if retryable else None
        said_no = answer.is_client_error or answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE
        return Failure(reason, retryable, asks_for_s, answer.status_code, said_no)

    def _without_secrets(self, text: str, body: Body) -> str:
        forms = {form for secret in (*self._site.secrets, *body.secrets) for form in _forms(secret)}
        for form in sorted(forms, key=len, reverse=True):  # one may be part of another
            text = text.replace(form, "<secret>")
        return text


def parsed(answer: httpx.Response, kind: type[T]) -> T | Failure:
    """What the answer says, as a struct: what is not in it is not looked at, and what is must be of its type."""
    try:
        return msgspec.json.decode(answer.content, type=kind)
    except UNREADABLE as error:  # a gateway's page, or not the system that this was thought to be
        asked = f"{answer.request.method} {answer.request.url.path}"
        return Failure(f"{asked}: not the answer that was expected: {error}", retryable=True)


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
    if told.isascii() and told.isdigit():
        return min(float(told), MOST_RETRY_AFTER_S)
    try:
        until = parsedate_to_datetime(told)
    except (ValueError, OverflowError):
        return None
    until = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
    return min(max(0.0, (until - datetime.now(UTC)).total_seconds()), MOST_RETRY_AFTER_S)

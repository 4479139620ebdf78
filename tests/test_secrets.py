"""No secret of the configuration appears anywhere: not in a text, an error, a log, a metric or a topic.

What a whole run writes is searched in tests/access/test_secure_kafka.py.
"""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import pickle
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from aiohttp import web
from typer.testing import CliRunner

from actions.failure import Failure
from actions.http import Body, Client, Site
from detectors import SETTINGS
from schemas.config import Config, Secret
from schemas.signatures import BadKey, PrivateKey
from streams import broker, configuration
from streams.cli import app
from tests import planted

TOKEN: Final = "planted-token"  # noqa: S105 -- it is one


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """With a secret wherever one can be."""
    return configuration.load(planted.write(tmp_path, planted.KAFKA + planted.SECTIONS), SETTINGS, {})


def test_a_secret_is_planted_wherever_the_configuration_takes_one(config: Config) -> None:
    """A new place for a secret must be planted here, too, or nobody would look for it."""
    assert len(set(planted.secrets(config))) == len(planted.every_place())


def test_the_configuration_shows_no_secret(config: Config) -> None:
    """However it, or what is made of it, becomes text."""
    parts = [config, config.kafka, config.executors["hf"], broker.credentials(config.kafka.security), planted.KEY]
    assert planted.found(way(part) for part in parts for way in (repr, str, "{}".format)) == []


WAYS: dict[str, Callable[[Any], Any]] = {
    "json": json.dumps,
    "msgspec": msgspec.json.encode,
    "messagepack": msgspec.msgpack.encode,
    "builtins": msgspec.to_builtins,
    "pickle": pickle.dumps,
    "join": "".join,
    "addition": lambda secret: "Bearer " + secret,
    "slice": lambda secret: secret[:4],
    "bytes": lambda secret: secret.encode(),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_takes_a_secret_for_text_fails(way: str) -> None:
    """Only `reveal` hands it over; the error has nothing of it."""
    with pytest.raises((TypeError, AttributeError)) as told:
        WAYS[way](Secret(TOKEN))
    assert planted.found([str(told.value)]) == []


def test_a_secret_is_as_equal_as_its_text() -> None:
    """A reload compares sections; a copy of the configuration is equal to it."""
    assert Secret("a") == copy.deepcopy(Secret("a"))
    assert Secret("a") != Secret("b")
    assert len({Secret("a"), Secret("a")}) == 1


MISTAKES = (
    "",
    "mode: planetary\n",
    "kafka: {security: {password: [planted-list]}}\n",
    "kafka: {security: {password: planted-a, password_file: planted.yaml}}\n",
    "kafka: {security: {password: {planted-key: planted-value}}}\n",
    "receivers: {x: {type: slack, url: planted-b, urll: planted-c}}\n",
)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_check_shows_no_secret(tmp_path: Path, mistake: str) -> None:
    """Neither of a good configuration, nor of what stands where a secret belongs."""
    text = mistake or planted.KAFKA + planted.SECTIONS
    for form in ("table", "json"):
        ran = CliRunner().invoke(app, ["check", "--config", str(planted.write(tmp_path, text)), "--output", form])
        assert ran.output
        told = ran.output.replace("planted-key", "").replace("'planted.yaml'", "")  # a key is no value
        assert planted.found([told]) == []


def test_a_key_that_is_none_is_not_quoted() -> None:
    """Of a private key not even a part is in the error, nor in what it was made from."""
    with pytest.raises(BadKey) as told:
        PrivateKey.parse(Secret(f"-----BEGIN PRIVATE KEY-----\n{TOKEN}\n-----END PRIVATE KEY-----\n"))
    chain = [told.value, told.value.__cause__, told.value.__context__]
    assert planted.found(map(repr, chain)) == []


def test_a_private_key_shows_and_stores_nothing() -> None:
    """Not even when a program prints or pickles it."""
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(planted.KEY)
    assert planted.found([repr(planted.KEY), str(planted.KEY), repr(planted.KEY.pem())]) == []


@asynccontextmanager
async def parrot() -> AsyncIterator[str]:
    """A server that refuses every request and repeats all that was in it."""

    async def repeat(request: web.Request) -> web.Response:
        said = f"{request.path_qs} {dict(request.headers)} {await request.text()}"
        return web.Response(status=403, text=said, reason="planted nothing")

    application = web.Application()
    application.router.add_route("*", "/{any:.*}", repeat)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    try:
        yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
    finally:
        await runner.cleanup()


async def failure(base_url: str, token: str) -> Failure:
    """What comes of a request with a token in the header and one in the address."""
    path = f"/{TOKEN}"
    client = Client(Site("gateway", base_url, 5.0, {"Authorization": f"Bearer {token}"}, (token, TOKEN)))
    try:
        answer = await client.send("POST", path, Body(json={"key": token}), shown="/...")
    finally:
        await client.close()
    assert isinstance(answer, Failure)
    return answer


@pytest.mark.parametrize("token", [TOKEN, f"{TOKEN}\nof two lines", "planted-ünicode", f"'{TOKEN}\"\\"])
def test_a_failed_request_shows_no_credential(token: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the other side says or does not say, and whatever characters the credential has."""

    async def scenario() -> list[str]:
        async with parrot() as url:
            repeated = await failure(url, token)
        return [repeated.reason, (await failure(url, token)).reason, (await failure("nowhere", token)).reason]

    caplog.set_level(logging.WARNING)  # as `streams.logs` has it for libraries: httpx tells addresses below that
    reasons = asyncio.run(asyncio.wait_for(scenario(), 30))
    assert planted.found([caplog.text]) == []
    assert all("gateway: POST /..." in reason for reason in reasons)
    assert planted.found(reasons) == []
    assert planted.found([repr(Site("gateway", f"http://x/{TOKEN}", 1.0, {"a": token}, (token,)))]) == []

"""The door for other systems' alerts: closed without a key, and what it takes is in Kafka before it says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
import pytest
from msgspec import structs

from detectors import SETTINGS
from detectors.external import ExternalAlerts
from schemas.alertmanager import ALERTS_PATH
from schemas.config import Config, Http
from schemas.outputs import Action, Command, Finding, Status
from schemas.topics import COMMANDS, FINDINGS
from schemas.units import US
from streams import configuration, external, topics
from streams.explain.decision import policy_of
from streams.explain.settings import Values
from streams.external import Door
from streams.http import MOST_BYTES, HttpServer
from streams.metrics import Metrics
from streams.outbox import new_producer
from tests.actions.findings import finding as external_finding
from tests.running import TIDEGATE, Job, Starter, read_all, until

TOKEN: Final = "kn0ck-kn0ck"  # noqa: S105 -- of nobody
KEY: Final = {"Authorization": f"Bearer {TOKEN}"}
NOW_US: Final = 1_795_341_600 * US
CONFIG: Final = """
kafka: {{bootstrap_servers: "{address}", topic_prefix: "{prefix}", checkpoint_every: 1s}}
http: {{port: 0}}
mode: auto
safety: {{max_share_down: 1.0}}
endpoints: {{acme/bert: {{price_usd_per_hour: 2}}}}
external: {{token: kn0ck-kn0ck, alerts: {{HighLatency: {{action: throttle, max_replicas: 3}}}}}}
"""
ALERT: Final = {"labels": {"alertname": "HighLatency", "endpoint": "acme/bert"}, "startsAt": "2026-11-22T10:00:00Z"}
HOOK: Final = {"version": "4", "status": "firing", "alerts": [{**ALERT, "status": "firing"}]}


class Entrance:
    """An HTTP server with the door in it, its clock, and what it counts."""

    door: Door

    def __init__(self, url: str, producer: Any, metrics: Metrics) -> None:
        self.url, self.producer, self.metrics = url + ALERTS_PATH, producer, metrics
        self.now_us = NOW_US

    async def post(self, body: Any, headers: dict[str, str] | None = None) -> tuple[int, str]:
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        given = KEY if headers is None else headers
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.url, data=BytesIO(data), headers=given) as answer,
        ):
            return answer.status, await answer.text()


@asynccontextmanager
async def entrance(config: Callable[[], Config]) -> AsyncIterator[Entrance]:
    metrics, producer = Metrics(), new_producer(config().kafka)
    await producer.start()
    server = HttpServer(Http(port=0), metrics, lambda: None, lambda: None)
    entered = Entrance("", producer, metrics)
    entered.door = door = Door(producer, config, lambda: entered.now_us, metrics)
    server.add_post(ALERTS_PATH, door.post)
    entered.url = f"http://127.0.0.1:{await server.start()}{ALERTS_PATH}"
    try:
        yield entered
    finally:
        await server.stop()
        await producer.stop()


@pytest.mark.kafka
def test_the_door_opens_to_its_key_alone_and_keeps_its_word(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    """404 without a token in the configuration, 401 without it in the request; 200 is in Kafka, 503 may not be."""
    job = Job.of(CONFIG, kafka, topic_prefix, tmp_path)
    now = [structs.replace(job.config, external=structs.replace(job.config.external, token=None))]

    async def scenario() -> None:
        await topics.declare(job.config)
        async with entrance(lambda: now[0]) as door:
            assert (await door.post([ALERT]))[0] == 404
            now[0] = job.config
            for headers in (
                {},
                {"Authorization": TOKEN},
                {"Authorization": "Bearer kn0ck"},
                {"Authorization": "Bearer ü"},
            ):
                assert await door.post([ALERT], headers) == (401, "")
            status, text = await door.post({"alerts": []})
            assert (status, "expected an array of alerts" in text, "version" in text) == (400, True, True)
            assert (await door.post(b" " * (MOST_BYTES + 1)))[0] == 413
            assert await findings(job) == []
            assert await door.post([ALERT]) == (200, "")
            assert await door.post(HOOK) == (200, "")
            assert await door.post([]) == (200, "")
            (found,) = await findings(job)
            assert (found.rule, found.endpoint, found.evidence["action"]) == ("external", "acme/bert", "throttle")
            assert TOKEN not in str(msgspec.json.encode(found))
            await door.producer.stop()
            status, text = await door.post([{"labels": {"alertname": "Other"}}])
            assert (status, "post it again" in text) == (503, True)
            counted = door.metrics.render().decode()
            assert 'tidegate_external_alerts_total{outcome="accepted"} 2.0' in counted
            assert 'tidegate_external_alerts_total{outcome="not_written"} 1.0' in counted
            assert 'tidegate_findings_total{rule="external",severity="warning",status="open"} 1.0' in counted

    asyncio.run(asyncio.wait_for(scenario(), 60))


@pytest.mark.kafka
def test_what_kafka_did_not_take_in_time_is_taken_when_it_comes_again(
    kafka: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it is known before; from then on the clock goes on with it, and ends it."""
    monkeypatch.setattr(external, "ACK_S", 0.5)
    job = Job.of(CONFIG, kafka, topic_prefix, tmp_path)

    async def scenario() -> None:
        async with entrance(lambda: job.config) as entered:
            assert (await entered.post([ALERT]))[0] == 503  # the topic is not there yet
            await topics.declare(job.config)
            monkeypatch.setattr(external, "ACK_S", 30.0)
            assert await entered.post([ALERT]) == (200, "")
            for minutes in (1, 5):
                entered.now_us = NOW_US + minutes * 60 * US
                await entered.door.tick()
            statuses = [finding.status for finding in await findings(job)]
            assert statuses == [Status.OPEN, Status.UPDATE, Status.RESOLVED]
            entered.door._alerts = ExternalAlerts(most_firing=1)
            other = {"labels": {"alertname": "Other"}}
            assert await entered.post([ALERT, other]) == (429, "1 were left out: 10000 alerts fire already\n")
            assert await entered.post([ALERT]) == (200, "")

    asyncio.run(asyncio.wait_for(scenario(), 60))


async def findings(job: Job) -> list[Finding]:
    records = await read_all(job.config.kafka, FINDINGS, 0)
    return [msgspec.json.decode(record.value, type=Finding) for record in records]


@pytest.mark.kafka
def test_a_rule_of_prometheus_pulls_the_brake_and_takes_it_off(
    kafka: str, topic_prefix: str, tmp_path: Path, start_program: Starter
) -> None:
    """From the POST to the command of a real worker, and back."""
    job = Job.of(CONFIG, kafka, topic_prefix, tmp_path)

    async def written() -> list[Command]:
        partitions = next(topic.partitions for topic in topics.needed(job.config) if topic.name.endswith(COMMANDS))
        records = [await read_all(job.config.kafka, COMMANDS, partition) for partition in range(partitions)]
        return [msgspec.json.decode(record.value, type=Command) for each in records for record in each]

    async def has_written(count: int) -> bool:
        return len(await written()) == count

    async def scenario() -> None:
        await topics.declare(job.config)
        worker = start_program(*TIDEGATE, "run", "--config", str(job.file))
        port = msgspec.json.decode(await worker.until('"event": "listening"'))["port"]
        door = Entrance(f"http://127.0.0.1:{port}", None, Metrics())
        assert await door.post(HOOK) == (200, "")
        await until(lambda: has_written(1))
        assert await door.post([{**ALERT, "endsAt": "2026-11-22T10:05:00Z"}]) == (200, "")
        await until(lambda: has_written(2))
        throttle, restore = sorted(await written(), key=lambda command: command.issued_at)
        assert (throttle.rule, throttle.parameters) == ("external", {"max_replicas": 3})
        assert restore.restores == throttle.id
        assert TOKEN not in worker.log.read_text()

    asyncio.run(scenario())


def test_what_is_done_about_it_is_explained_by_its_mapping(tmp_path: Path) -> None:
    """`tidegate explain` names the line that maps it."""
    file = tmp_path / "tidegate.yaml"
    file.write_text("external:\n  token: t\n  alerts:\n    A:\n      action: throttle\n      max_replicas: 2\n")
    values = Values(*configuration.load_traced(file, SETTINGS, {}))
    found = external_finding("external", "A acme/b 1", "acme/b", 0, evidence={"alertname": "A", "action": "throttle"})
    told = policy_of(found, "acme/b", values)
    assert (told.action, told.origin) == (Action.THROTTLE, f"external.alerts.A.action ({file}:5)")

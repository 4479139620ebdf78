"""What an endpoint of the simulated fleet is: its name, its price, its usual traffic and size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np

MIN_RPS: Final = 0.2
MAX_RPS: Final = 30.0
RPS_PER_REPLICA: Final = 8
CRITICAL_SHARE: Final = 0.1
DEFAULT_SWING: Final = 0.3  # by how much of its mean an endpoint's day rises and falls


class _Hardware(NamedTuple):
    instance: str
    price_usd_per_hour: float


HARDWARE: Final = (  # of the order of list prices, US dollars per replica and hour
    _Hardware("aws-{region}-intel-spr-x4", 0.27),
    _Hardware("aws-{region}-nvidia-t4-x1", 0.5),
    _Hardware("aws-{region}-nvidia-l4-x1", 0.8),
    _Hardware("aws-{region}-nvidia-a10g-x1", 1.0),
    _Hardware("aws-{region}-nvidia-l40s-x1", 1.8),
    _Hardware("aws-{region}-nvidia-a100-x1", 2.5),
    _Hardware("aws-{region}-nvidia-h100-x1", 4.5),
)
REGIONS: Final = ("us-east-1", "us-west-2", "eu-west-1")
NAMESPACES: Final = ("acme", "globex", "initech", "umbrella")
MODELS: Final = (
    "bert-base", "bge-m3", "bart-summary", "clip-vit", "codellama-13b", "deberta-nli", "e5-large",
    "falcon-7b", "flan-t5-xl", "gemma-9b", "gte-rerank", "llama-8b", "llama-guard", "mistral-7b",
    "nemo-12b", "phi-4", "qwen-7b", "roberta-tox", "sdxl-turbo", "starcoder2", "t5-translate",
    "whisper-large", "xlm-r-ner", "zephyr-7b",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Profile:
    """One endpoint on an ordinary day.

    `normal_rps` is the mean over the day of its requests a second, `price_usd_per_hour` is for one replica,
    `replicas` its mean size, and `expected_max` the size that nobody expects it to exceed. Rate and size
    swing together by the share `swing` around their mean, highest at the hour `peak_hour` (UTC).
    """

    name: str
    normal_rps: float
    replicas: int
    price_usd_per_hour: float
    expected_max: int = 10
    instance: str = "aws-us-east-1-nvidia-l4-x1"
    region: str = "us-east-1"
    critical: bool = False
    swing: float = DEFAULT_SWING
    peak_hour: float = 15.0
    min_replicas: int = 1


def draw_profiles(seed: int, size: int) -> tuple[Profile, ...]:
    """`size` different endpoints: rates log-uniform from 0.2 to 30 req/s, the busier the bigger."""
    rng = np.random.default_rng([seed, 1])
    rates = np.exp(rng.uniform(np.log(MIN_RPS), np.log(MAX_RPS), size))
    hardware = rng.integers(len(HARDWARE), size=size)
    peaks = rng.uniform(9.0, 21.0, size)
    regions = rng.integers(len(REGIONS), size=size)
    critical = rng.random(size) < CRITICAL_SHARE
    return tuple(
        replace(
            _sized(name, float(rates[i]), HARDWARE[hardware[i]], REGIONS[regions[i]]),
            critical=bool(critical[i]),
            peak_hour=round(float(peaks[i]), 2),
        )
        for i, name in enumerate(_names(size))
    )


def _sized(name: str, rps: float, hardware: _Hardware, region: str) -> Profile:
    replicas = 1 + round(rps / RPS_PER_REPLICA)
    return Profile(
        name, round(rps, 3), replicas, hardware.price_usd_per_hour, expected_max=2 * replicas + 2,
        instance=hardware.instance.format(region=region), region=region,
    )  # fmt: skip


def _names(size: int) -> list[str]:
    """`acme/bert-base`, then the other namespaces and models, then the same with a number behind."""
    plain = [f"{namespace}/{model}" for namespace in NAMESPACES for model in MODELS]
    turns = 1 + size // len(plain)
    return [name if turn == 0 else f"{name}-{turn + 1}" for turn in range(turns) for name in plain][:size]

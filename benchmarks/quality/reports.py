"""The reporting view, as an operator has it: one report an incident, and fewer from what reports all the time."""

from __future__ import annotations

from typing import Final

import numpy as np

from detectors.table import Floats

SPAN: Final = 200  # steps in which the memory of a report fades
BEAT: Final = 1.9  # what shows again meanwhile is so much more
CAP: Final = 3.0  # a larger score is hardly more
FATIGUE: Final = 0.12  # how much each report raises what the next one needs ...
FATIGUE_STEPS: Final = 1000  # ... for how long: its half-life
NEEDED: Final = 0.85  # as few of many come through, those may be smaller


def reported(scores: Floats) -> Floats:
    """Of each score what is shown of it: 0, or how far it is above what is needed (1 and more).

    A score shows if it is above `NEEDED`, more with every report of the last thousand steps, and beats the last one,
    whose memory fades within `SPAN` steps.
    """
    shown, best, age, fatigue, fade = np.zeros(len(scores)), 0.0, 0, 0.0, 0.5 ** (1 / FATIGUE_STEPS)
    for i, raw in enumerate(scores.tolist()):
        age += 1
        fatigue *= fade
        score = min(raw, CAP + 0.01 * raw / (1 + raw))  # larger ones stay in their order
        held, needed = best * max(0.0, 1 - age / SPAN), NEEDED * (1 + FATIGUE * fatigue)
        if score > held * BEAT and score >= needed:
            shown[i] = score / needed
            best, age = max(score, held), 0
            fatigue += 1
    return shown

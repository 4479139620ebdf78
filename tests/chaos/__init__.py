"""The chaos campaign: real workers and a real broker under faults drawn from a seed, held against undisturbed folds.

`python -m tests.chaos --seed 1 --minutes 3`, or `make chaos`; what it does and found is in docs/chaos.md.
"""

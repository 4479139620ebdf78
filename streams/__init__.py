"""The shell: Kafka, Faust, files, clocks and the command line. The only folder that knows Faust.

It moves bytes in batches, keeps state durable and delivers values. Every decision is made in the core
(`detectors/`, `actions/`), by the stages that `stages.py` builds from it.
"""

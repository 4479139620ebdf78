"""Who may connect to Kafka, and what they may do there.

First by name: pytest hands out what comes first in large pieces, so one worker runs it all, on one cluster.
"""

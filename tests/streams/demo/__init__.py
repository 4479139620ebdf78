"""The demo: what it plays, how it keeps book of it, how it looks, and the whole of it on a real Kafka."""

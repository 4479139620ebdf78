"""What operators see and say: status, approvals, rollbacks, the kill switch, silences, keys.

The present is rebuilt from the topics alone, by whoever looks; what operators say is written there, and obeyed by the
worker. Nothing here is a server, and nothing keeps a state of its own.
"""

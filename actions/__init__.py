"""From a finding to a command: policy, safety stages and what is in force. Pure: time is in the finding."""

from actions.fold import ActionFold

__all__ = ["ActionFold"]

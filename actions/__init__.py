"""From a finding to a command: policy, safety stages and what is in force. Pure: time is in the finding."""

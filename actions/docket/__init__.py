"""What an executor's process decides: pure folds over commands and results. No I/O, and time is a parameter."""

from actions.docket.docket import Docket, Heard, Left
from actions.docket.office import Office, judge
from actions.docket.past import Past
from actions.docket.standing import Answer, Ask, Entry, Step, Turn

__all__ = ["Answer", "Ask", "Docket", "Entry", "Heard", "Left", "Office", "Past", "Step", "Turn", "judge"]

"""What the user said → a typed plan of tool calls.

    planner = Planner(engine, registry)                  # engine: assistant.llm.Engine over the planner's checkpoint
    planner.warm_up()
    planned = planner.plan("make a gif of my last five photos", history=[Earlier(text, plan, results), …])
    planned.plan, planned.refused, planned.confidence    # refused: no tool serves this
    planned.question                                     # kind "missing" or "confirm", or None: go ahead
    planned = planner.complete(planned, "send it to Zoë")   # the answer to a question of kind "missing"

`plan` blocks for a tenth of a second or so: call it through `asyncio.to_thread`. Texts that the model cannot take raise
PlanningError, tools that it cannot tell apart AmbiguousName.

Files: planner.py the public class · planned.py its dataclasses · text.py the user's words as the model sees them ·
names.py, spelling.py the tools' names · plantext.py the plan as text · grammar.py constrained decoding · reading.py
text → plan · confidence.py · questions.py · retrieval.py which tools, when many are installed ·
search.py other choices where the model hesitates · prompt.py
"""

from .confidence import Calibration, Calibrations
from .names import AmbiguousName
from .planned import Earlier, Planned, PlanningError, Question, Usage
from .planner import Planner
from .retrieval import Retrieval

__all__ = [
    "AmbiguousName", "Calibration", "Calibrations", "Earlier", "Planned", "Planner", "PlanningError", "Question",
    "Retrieval", "Usage",
]  # fmt: skip

"""A JAX inference engine for Hugging Face checkpoints; it knows nothing of tools or plans.

    from assistant.llm import Engine, Request, load

    model = load("path/to/checkpoint")                 # folder or hub id; .config .tokenizer .grammars .stop_tokens
    engine = Engine(model, slots=2, length=1024)       # starts its thread with the first request
    engine.warm_up()                                   # compile everything now, nothing later
    engine.add_prefix("tools", tool_prompt_ids)        # prefilled once, then copied or found in place

    grammar = model.grammars.json_schema({"type": "object", ...})   # or .regex("…") or .lark("start: …")
    result = engine.generate(Request(prompt_ids, prefix="tools", constraint=grammar, max_tokens=200))
    result.text, result.ids, result.finish_reason      # finish_reason: stop | length | cancelled
    for token in result.tokens:                        # forced: no choice was left, no forward pass spent
        token.id, token.forced, token.logprob, token.free_logprob    # under the mask; without it

    for token in engine.submit(Request("Hello", temperature=0.7, top_p=0.9, seed=3)): ...   # streaming
    result = await engine.agenerate(Request(ids))      # asyncio; `async for token in engine.submit(…)` streams
    stream = engine.submit(Request(ids)); stream.cancel()

Several processes serve one model in lockstep. Each calls `start_processes(coordinator, processes, rank)` first, then
`load` and `Engine` with the same settings and a mesh over all devices; rank 0 serves, the others call `follow()`.

A constraint is any object with `done`, `forced()`, `mask(out)` and `consume(token)` (see `grammar.Constraint`), so it
may swap grammars as it goes; one constraint serves one request. Bad grammars raise `BadGrammar`, bad requests
`ValueError`. Training builds on `ModelConfig`, `model.init`, `model.forward`, `model.logits`, `attention.attention` and
`weights.save`.
"""

from .config import ModelConfig, UnsupportedModel
from .engine import Engine
from .grammar import BadGrammar, Constraint, Grammar, Grammars
from .loading import Model, load
from .mesh import make_mesh, start_processes
from .request import Request, Result, Stream, Token
from .tokenizer import Tokenizer
from .weights import BadCheckpoint

__all__ = [
    "BadCheckpoint",
    "BadGrammar",
    "Constraint",
    "Engine",
    "Grammar",
    "Grammars",
    "Model",
    "ModelConfig",
    "Request",
    "Result",
    "Stream",
    "Token",
    "Tokenizer",
    "UnsupportedModel",
    "load",
    "make_mesh",
    "start_processes",
]

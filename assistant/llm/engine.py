"""The engine: requests in, tokens out. One thread runs the step loop; callers wait, iterate or await.

Each turn of the loop admits waiting requests, runs one step and hands its tokens to their owners. After every choice
the request's constraint says what is forced; forced tokens wait in the sequence and are fed as one chunk with the next
choice, so a run of them costs one forward pass, and at the very end none at all.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Sequence as SequenceType

import jax
import numpy as np

from .job import Job
from .loading import Model
from .lockstep import Lockstep, follow
from .request import Request, Result, Stream
from .runner import Batch, Runner
from .scheduler import Plan, Scheduler, Sequence

_log = logging.getLogger(__name__)


class Engine:
    """Continuous batching over `slots` sequences of at most `length` tokens each.

    `sizes` are the compiled numbers of tokens per row, `short` the largest that several rows take at once, `rows` the
    compiled numbers of rows beside 1 and `slots`. `score` asks for the model's log-probability of forced tokens too
    (default: when the vocabulary is small, as it costs a bit), if they are fed in chunks of at most 64: of larger ones,
    and of those after the last choice, which are never fed, it stays NaN.
    """

    def __init__(
        self,
        model: Model,
        *,
        slots: int = 4,
        length: int = 2048,
        sizes: SequenceType[int] = (1, 8, 64, 256),
        short: int = 8,
        rows: SequenceType[int] = (),
        score: bool | None = None,
    ) -> None:
        config = model.config
        self.model = model
        self.length = min(length, config.max_positions)
        self._sizes = tuple(sorted({min(size, self.length) for size in sizes}))
        whole = model.mesh is not None and model.mesh.shape["data"] > 1
        self._rows = (slots,) if whole else tuple(sorted({1, slots, *(r for r in rows if r < slots)}))
        scored = config.vocab_size <= 16_384 if score is None else score
        self._scored = max((s for s in self._sizes if s <= 64), default=0) if scored else 0
        fits = max((s for s in self._sizes if s <= short), default=self._sizes[0])
        self._scheduler = Scheduler(slots, self._rows, self._sizes, fits, whole)
        runner = Lockstep if jax.process_count() > 1 and jax.process_index() == 0 else Runner
        self._runner = runner(
            model.params,
            config,
            slots=slots,
            length=self.length,
            margin=self._sizes[-1],
            cache_dtype=model.cache_dtype,
            mesh=model.mesh,
        )
        self._free_mask = _allow(model.vocabulary, config.vocab_size)
        self._prefixes: dict[str, list[int]] = {}
        self._jobs: dict[Sequence, Job] = {}
        self._inbox: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._dead: BaseException | None = None
        self._closed = False

    # -- what callers use ----------------------------------------------------------------------------------------

    def warm_up(self) -> None:
        """Compile every shape, so that no request waits for a compilation. Call before the first request; in a group
        of processes on rank 0 alone, as the others follow."""
        self._lead()
        self._runner.warm_up(self._rows, self._sizes, self._scheduler.short, self._scored)

    def add_prefix(self, name: str, prompt: SequenceType[int] | str) -> int:
        """Prefill a prefix that many prompts share and keep it; returns its length in tokens.

        Replaces a prefix of the same name. Compiles a copy for its length, so call it at start.
        """
        tokens = self._encode(prompt)
        job = self._job(Request(tokens, max_tokens=1), tokens)
        job.store_as = name
        self._send(job)
        job.stream.result()
        self._prefixes[name] = tokens
        return len(tokens)

    def submit(self, request: Request) -> Stream:
        """Queue a request; the stream gives its tokens and result. `ValueError` when the request makes no sense."""
        request.check()
        tokens = self._encode(request.prompt)
        if request.prefix is not None:
            if request.prefix not in self._prefixes:
                raise ValueError(f"there is no prefix {request.prefix!r}; call add_prefix first")
            tokens = self._prefixes[request.prefix] + tokens
        job = self._job(request, tokens)
        self._send(job)
        return job.stream

    def generate(self, request: Request, timeout: float | None = None) -> Result:
        """Run a request to its end. An error of its constraint is raised here, and nobody else notices it."""
        stream = self.submit(request)
        try:
            return stream.result(timeout)
        except BaseException:
            stream.cancel()
            raise

    async def agenerate(self, request: Request) -> Result:
        """As `generate`, for asyncio; cancelling the task cancels the generation."""
        return await self.submit(request).wait()

    def follow(self, patience: float = 120.0) -> None:
        """On every rank but 0 of a group of processes: take part in the steps of rank 0 until it closes its engine.

        Each rank makes its engine with the same settings. Raises when a rank is lost, and when rank 0, once it serves,
        gives no sign of life for `patience` seconds because its engine has failed; no compilation may take that long.
        """
        if jax.process_index() == 0:
            raise RuntimeError("rank 0 leads: it takes requests, and the other ranks follow")
        follow(self._runner, patience)

    @property
    def alive(self) -> bool:
        """False once something has gone wrong that ended all requests; only a new engine helps."""
        return self._dead is None

    def close(self) -> None:
        """Finish what is queued and stop the thread."""
        with self._lock:
            first, self._closed = not self._closed, True
            thread, self._thread = self._thread, None
        if thread is not None:
            self._inbox.put(None)
            thread.join()
        if first and self._dead is None:
            self._runner.stop()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- requests ------------------------------------------------------------------------------------------------

    def _lead(self) -> None:
        if jax.process_index() != 0:
            raise RuntimeError(f"only rank 0 takes requests; this is rank {jax.process_index()}: call follow()")

    def _encode(self, prompt: SequenceType[int] | str) -> list[int]:
        if isinstance(prompt, str):
            if self.model.tokenizer is None:
                raise ValueError("this checkpoint has no tokenizer.json; give the prompt as token ids")
            tokens = self.model.tokenizer.encode(prompt)
        else:
            tokens = [int(token) for token in prompt]
        last = self.model.config.vocab_size - 1
        if unknown := [token for token in tokens if not 0 <= token <= last]:
            raise ValueError(f"the model does not know token {unknown[0]}; ids must lie between 0 and {last}")
        return tokens

    def _job(self, request: Request, tokens: list[int]) -> Job:
        if not tokens:
            raise ValueError("the prompt is empty")
        if len(tokens) >= self.length:
            raise ValueError(f"the prompt has {len(tokens)} tokens; at most {self.length - 1} fit")
        if request.stop and self.model.tokenizer is None:
            raise ValueError("stop strings need a tokenizer; use stop_tokens")
        stops = self.model.stop_tokens if request.stop_tokens is None else frozenset(request.stop_tokens)
        room = min(request.max_tokens, self.length - len(tokens))
        return Job(request, tokens, room, stops, self.model.tokenizer)

    def _send(self, job: Job) -> None:
        self._lead()
        with self._lock:
            if self._closed:
                raise RuntimeError("the engine is closed")
            if self._dead is not None:
                raise RuntimeError(f"the engine has failed: {self._dead}") from self._dead
            self._inbox.put(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="llm-engine", daemon=True)
                self._thread.start()

    # -- the loop ------------------------------------------------------------------------------------------------

    def _loop(self) -> None:
        try:
            self._runner.idle()  # the first sign of life: from here on, silence means failure
            while self._receive(wait=not self._jobs and not self._closed):
                self._turn()
        except BaseException as error:
            _log.exception("the engine stopped")
            with self._lock:
                self._dead = error
                while not self._inbox.empty():
                    if (job := self._inbox.get()) is not None:
                        self._jobs[job.sequence] = job
            for job in self._jobs.values():
                job.fail(RuntimeError(f"the engine has failed: {error}"))

    def _receive(self, wait: bool) -> bool:
        """Take in new requests; False once closed and idle."""
        while wait or not self._inbox.empty():
            try:
                job = self._inbox.get(timeout=self._runner.idle_seconds)
            except queue.Empty:
                self._runner.idle()
                continue
            wait = False
            if job is not None:
                self._jobs[job.sequence] = job
                self._scheduler.add(job.sequence)
                job.begin()
                self._settle(job)
        return bool(self._jobs) or not self._closed

    def _turn(self) -> None:
        """Drop what was cancelled, admit what waits, run one step and hand out its tokens."""
        for job in [job for job in self._jobs.values() if job.stream.cancelled]:
            job.finish = "cancelled"
            self._settle(job)
        for admission in self._scheduler.admit():
            if admission.source is not None:
                self._runner.copy(admission.source, admission.sequence.slot)
        plan = self._scheduler.plan()
        if plan is not None:
            self._run(plan)

    def _run(self, plan: Plan) -> None:
        batch = Batch.empty(plan.rows, plan.size, self.model.config.vocab_size, self.length)
        batch.mask[:] = self._free_mask
        fed = []
        for row, sequence in plan.placed(self._scheduler.slots):
            job = self._jobs[sequence]
            job.fill(batch, row, plan.count(sequence))
            fed.append((job, row, sequence.cached, plan.count(sequence)))
        chosen = self._runner.step(batch, scored=plan.size <= self._scored)
        self._scheduler.fed(plan)
        for job, row, start, count in fed:
            if not job.ended:  # its constraint may have failed just now
                job.take(chosen, row, start, count)
                if job.store_as is not None and not job.ended and not job.sequence.pending:
                    self._store(job)
            self._settle(job)

    def _store(self, job: Job) -> None:
        assert job.store_as is not None
        self._runner.store(job.store_as, job.sequence.slot, len(job.sequence.tokens))
        self._scheduler.prefixes[job.store_as] = np.asarray(job.sequence.tokens, np.int32)
        job.finish = "stop"

    def _settle(self, job: Job) -> None:
        if job.ended:
            self._scheduler.remove(job.sequence)
            if job.failed and job.sequence.slot >= 0:
                self._scheduler.forget(job.sequence.slot)  # its row may not hold what was meant
            del self._jobs[job.sequence]
        job.settle()


def _allow(tokens: int, vocab: int) -> np.ndarray:
    """A bitmask `[ceil(vocab / 32)]` that allows the first `tokens` ids."""
    bits = np.zeros(-(-vocab // 32) * 32, np.uint8)
    bits[:tokens] = 1
    return np.packbits(bits, bitorder="little").view(np.uint32)

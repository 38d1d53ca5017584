"""Plan → results: sandboxed calls, durable errands, journaled effects, and a reply that states only what happened.

    executor = Executor(settings, registry, sandbox)       # sandbox: anything with `await call(Call)`
    await executor.start()                                 # resumes what a crash or restart interrupted
    state = await executor.submit(ErrandRequest(plan, text=…, session=…, approve=False))   # ErrandState, running
    state = await executor.wait(state.id, seconds=30)      # returns when finished or when a question waits
    if state.question: await executor.answer(state.id, confirm=True)     # or choice=1 (from 1), or text="…"
    async for event in executor.events(state.id, after=0): …            # replays, then follows until finished
    await executor.cancel(state.id);  await executor.history(limit=50, session=None);  await executor.aclose()
    async for reminder in executor.raised(since): …          # reminders as they become due; executor.reminders.all()

`submit` checks the plan (PlanError) and starts it; a request with an `id` that is known returns that errand
(idempotency). `^n` refers to the session's newest finished errand. `state`, `answer` and `cancel` raise UnknownErrand;
`answer` raises AnswerError when nothing is asked or the answer does not fit.

ErrandState: id, session, text, plan, status, steps (StepState: id, tool, status, summary, ms, artifacts, error),
effects, question (Question: kind "confirm" | "choose" | "missing", text, choices) or None, reply, created, finished,
run_ms; `to_json()` gives the keys of the HTTP answer. Status: running, needs_confirmation, needs_answer, done, failed,
cancelled. Event: id (increasing within the database), type ("status", "step", "progress", "question", "effect",
"reply", "reminder") and data (JSON).

Files: executor.py the public class, on DBOS · errand.py, state.py its dataclasses · run.py one errand's steps ·
store.py tables · references.py arguments · answers.py questions · plugins.py grants · journal.py effects' states ·
effects.py the dispatcher, which alone holds secrets · recipients.py, contacts.py who is meant · policy.py
confirmation · channels/ · attachments.py, location.py files that leave · reminders.py · reply.py, words.py · sandbox/
and artifacts.py.
"""

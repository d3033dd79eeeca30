import marimo

__generated_with = "0.25.2"

app = marimo.App(width="medium", app_title="Squid Mesh: getting started")


@app.cell
def _():
    import marimo as mo

    return (mo,)


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    # Getting started

    A workflow says what *should* happen. A journal says what *did* happen. Workers bring the time to do it. In this
    notebook you start a run, carry it out step by step, kill a worker in the middle of a step, decide what only a
    person can decide, and ask at each point why the run stands where it stands.

    The journal is a SQLite file in a temporary folder. Nothing else runs.
    """)
    return


@app.cell
def _():
    import os
    import subprocess
    import sys
    import tempfile
    import time
    from pathlib import Path

    here = Path(__file__).resolve().parent
    folder = Path(tempfile.mkdtemp(prefix="errand-"))
    os.environ["ERRAND_URL"] = f"sqlite:///{folder / 'errand.db'}"
    sys.path.insert(0, str(here))
    return folder, here, os, subprocess, sys, time


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## The workflow

    It stands in `errand.py`, because processes besides this notebook shall import it. Steps are plain functions; their
    parameters are taken by name from the payload and from what earlier steps returned.
    """)
    return


@app.cell
def _(folder, mo):
    assert folder.exists()  # the journal's place is known before the workflow's module is imported
    import inspect

    import errand
    from drawing import mermaid
    from errand import LeaveShire, RingErrand, mesh

    mo.md(f"```python\n{inspect.getsource(errand.RingErrand)}```")
    return LeaveShire, RingErrand, mermaid, mesh


@app.cell
def _(RingErrand, mermaid, mo):
    from squidmesh import define, preview_graph

    mo.mermaid(mermaid(preview_graph(define(RingErrand))))
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## Start

    `key` starts one run, for ever: the same call again gives the same run. Nothing is done yet; the run is in the
    journal and waits for a worker.
    """)
    return


@app.cell
def _(LeaveShire, RingErrand, mesh):
    run = mesh.start_run(RingErrand.leave_shire, LeaveShire(ring_id="one-ring"), key="ring-1")
    again = mesh.start_run(RingErrand.leave_shire, LeaveShire(ring_id="one-ring"), key="ring-1")
    assert again.run_id == run.run_id
    return (run,)


@app.cell
def _(mesh, mo, run):
    first = mesh.explain_run(run.run_id)
    assert first.reason == "waiting_for_worker"
    mo.md(f"**{first.reason}**: {first.summary}")
    return (first,)


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## One step at a time

    `execute_next` is the whole of a worker: claim one attempt, run it, record it. Here for the first step:
    """)
    return


@app.cell
def _(first, mermaid, mesh, mo, run):
    assert first  # the explanation above was of the run before this step
    packed = mesh.execute_next(owner_id="this-notebook")
    assert packed.current_steps == ("moria",)
    mo.mermaid(mermaid(mesh.inspect_run_graph(run.run_id)))
    return (packed,)


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## Kill a worker

    A worker in a process of its own, for which Moria takes a minute. As soon as it is in there, it is killed:
    `SIGKILL`, no last words.
    """)
    return


@app.cell
def _(folder, here, mesh, os, packed, run, subprocess, sys, time):
    assert packed
    command = [sys.executable, "-m", "squidmesh", "--app", "errand:mesh", "worker", "--no-sidecar"]
    with (folder / "killed.log").open("wb") as killed_log:
        killed = subprocess.Popen(
            command, cwd=here, env=os.environ | {"MORIA_SECONDS": "60"}, stdout=killed_log, stderr=killed_log
        )
    while mesh.explain_run(run.run_id).reason != "running":
        assert killed.poll() is None, (folder / "killed.log").read_text()
        time.sleep(0.05)
    killed.kill()
    killed.wait()
    after_the_kill = mesh.explain_run(run.run_id)
    return (after_the_kill,)


@app.cell
def _(after_the_kill, mo):
    mo.md(f"""
    The journal does not know yet: *{after_the_kill.summary}*

    The claim was a **lease**, of three seconds here. Nobody extends it now, so it ends, and the attempt may be claimed
    again: a new **delivery** of the same attempt, under a higher **fence**. Should the first worker come back, it would
    be refused.
    """)
    return


@app.cell
def _(after_the_kill, mesh, run, time):
    assert after_the_kill
    while "moria" in mesh.inspect_run(run.run_id).current_steps:
        if mesh.execute_next(owner_id="this-notebook") is None:
            time.sleep(0.1)  # the lease has not ended
    crossed = mesh.inspect_run(run.run_id, history=True)
    assert [event.kind for event in crossed.history].count("AttemptClaimed") == 3  # pack, and moria twice
    return (crossed,)


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## Decide

    The run waits for the council, over any restart and any deploy. Whoever decides is named, for good.
    """)
    return


@app.cell
def _(crossed, mesh, mo, run):
    assert crossed.status == "paused"
    asked = mesh.explain_run(run.run_id)
    assert asked.reason == "approval"
    mo.md(f"**{asked.reason}**: {asked.summary}\n\n" + "\n".join(f"- `{action}`" for action in asked.next_actions))
    return (asked,)


@app.cell
def _(asked, mesh, run):
    assert asked
    mesh.approve_run(run.run_id, actor="elrond@example.org", comment="there is no other way")
    slipped = mesh.execute_next(owner_id="this-notebook")
    assert slipped.status == "retrying"
    return (slipped,)


@app.cell
def _(mesh, mo, run, slipped):
    assert slipped
    retrying = mesh.explain_run(run.run_id)
    mo.md(f"**{retrying.reason}**: {retrying.summary}")
    return (retrying,)


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## To the end

    The first attempt at the stairs has failed, and its retry is a fact with a time. A worker waits for it; here one
    in a thread of this process.
    """)
    return


@app.cell
def _(mermaid, mesh, mo, retrying, run):
    assert retrying
    with mesh.worker(concurrency=2):
        done = mesh.wait_for(run.run_id, timeout=60)
    assert done.status == "completed"
    mo.vstack([mo.mermaid(mermaid(mesh.inspect_run_graph(run.run_id))), done.output])
    return (done,)


@app.cell
def _(done, mesh, mo, run):
    assert done
    told = mesh.inspect_run(run.run_id, history=True).history
    mo.ui.table([{"at": event.at.isoformat(), "fact": event.kind, "step": event.step} for event in told])
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    That was everything: facts, folded. Next: the notebook `workflow_authoring`, and `docs/authoring.md`.
    """)
    return


if __name__ == "__main__":
    app.run()

import marimo

__generated_with = "0.25.2"

app = marimo.App(width="medium", app_title="Squid Mesh: writing workflows")


@app.cell
def _():
    import sys
    from pathlib import Path

    import marimo as mo

    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from drawing import mermaid

    return mermaid, mo


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    # Writing workflows

    Routes and conditions, mapped inputs, retries, joins, child runs, and workflows as data that an editor changes.
    Each is run in memory, at once.
    """)
    return


@app.cell
def _():
    from pydantic import BaseModel

    from squidmesh import Context, Mesh, RetryPolicy, Workflow, define, fixed, manual, preview_graph, step, value

    return BaseModel, Context, Mesh, RetryPolicy, Workflow, define, fixed, manual, preview_graph, step, value


@app.cell
def _(Mesh):
    def carried_out(workflow, trigger, payload):
        """The mesh, and the run at its end."""
        made = Mesh.connect("memory://", workflows=workflow, idle_poll=0.01)
        begun = made.start_run(trigger, payload)
        with made.worker(concurrency=4):
            made.wait_for(begun.run_id, timeout=30)
        return made, made.inspect_run(begun.run_id, history=True)

    return (carried_out,)


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## A path: routes, conditions, mapped inputs

    `input=` says where a parameter comes from when it is not simply its own name; a dot goes into what is nested.
    """)
    return


@app.cell
def _(BaseModel, RetryPolicy, Workflow, fixed, manual, step, value):
    class Account(BaseModel):
        id: str
        limit: int

    class Invoice(BaseModel):
        account: Account
        amount: int

    def check(limit: int, amount: int) -> dict[str, bool]:
        return {"covered": amount <= limit}

    def charge(account_id: str, amount: int) -> dict[str, str]:
        return {"receipt": f"{amount} from {account_id}"}

    def remind(account_id: str) -> dict[str, str]:
        return {"letter": f"to {account_id}"}

    class Collect(Workflow):
        """Charge what is covered; write a letter otherwise."""

        version = "1"
        due = manual(Invoice)
        check = step(check, input={"limit": "account.limit", "amount": "amount"})
        charge = step(
            charge,
            input={"account_id": "account.id", "amount": "amount"},
            retry=RetryPolicy(max_attempts=3, backoff=fixed(1)),
        )
        remind = step(remind, input={"account_id": "account.id"})
        flow = (check.to(charge, when=value("covered") == True), check >> remind)  # noqa: E712 (a condition is a value)

    return (Collect,)


@app.cell
def _(Collect, carried_out, mermaid, mo):
    collected, receipt = carried_out([Collect], Collect.due, {"account": {"id": "acc-7", "limit": 500}, "amount": 42})
    assert receipt.output["receipt"] == "42 from acc-7"
    mo.mermaid(mermaid(collected.inspect_run_graph(receipt.run_id)))
    return


@app.cell
def _(Collect, carried_out, mermaid, mo):
    reminded, letter = carried_out([Collect], Collect.due, {"account": {"id": "acc-8", "limit": 10}, "amount": 42})
    assert letter.output["letter"] == "to acc-8"
    mo.mermaid(mermaid(reminded.inspect_run_graph(letter.run_id)))
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## A graph: roots and a join

    Steps with `after=` are a graph. What has no dependency begins with the run; `feast` starts once, when both have
    succeeded.
    """)
    return


@app.cell
def _(BaseModel, Workflow, manual, step):
    class Party(BaseModel):
        guests: int

    def bake(guests: int) -> dict[str, int]:
        return {"cakes": guests * 2}

    def brew(guests: int) -> dict[str, int]:
        return {"barrels": guests // 4}

    def feast(cakes: int, barrels: int) -> dict[str, str]:
        return {"told": f"{cakes} cakes, {barrels} barrels"}

    class Feast(Workflow):
        version = "1"
        invited = manual(Party)
        bake = step(bake)
        brew = step(brew)
        feast = step(feast, after=[bake, brew])

    return (Feast,)


@app.cell
def _(Feast, carried_out, mermaid, mo):
    fed, party = carried_out([Feast], Feast.invited, {"guests": 144})
    assert party.output["told"] == "288 cakes, 36 barrels"
    mo.mermaid(mermaid(fed.inspect_run_graph(party.run_id)))
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## Children

    A step may start other runs, once for each key, and the run may wait for them.
    """)
    return


@app.cell
def _(BaseModel, Context, Feast, Workflow, manual, step):
    from squidmesh import wait_for_children

    class Season(BaseModel):
        parties: list[int]

    def invite(parties: list[int], context: Context) -> None:
        for number, guests in enumerate(parties):
            context.start_child_run(Feast, {"guests": guests}, key=f"party-{number}")

    class Summer(Workflow):
        version = "1"
        begins = manual(Season)
        invite = step(invite)
        guests = wait_for_children()
        flow = (invite >> guests,)

    return (Summer,)


@app.cell
def _(Feast, Summer, carried_out):
    summered, summer = carried_out([Summer, Feast], Summer.begins, {"parties": [8, 12]})
    assert summer.status == "completed"
    assert summered.count_runs() == {"completed": 3}
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## All that is wrong, at once

    Nothing is registered halfway. Each problem has a path and a code.
    """)
    return


@app.cell
def _(BaseModel, Workflow, manual, step):
    from squidmesh import problems_of

    class Nothing(BaseModel):
        pass

    def wants(what: str) -> None: ...

    def island() -> None: ...

    class Wrong(Workflow):
        version = "1"
        go = manual(Nothing)
        wants = step(wants)
        island = step(island)
        other = step(island)
        flow = (wants >> other,)

    found = problems_of(Wrong)
    assert {problem.code for problem in found} >= {"unreachable_step"}
    found
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## As data

    A definition is data, and data may come from an editor. A map can name only the functions that you have listed.
    """)
    return


@app.cell
def _(Collect, define):
    from squidmesh import Actions, from_map, to_map

    spec = to_map(define(Collect))
    assert [one["name"] for one in spec["steps"]] == ["check", "charge", "remind"]
    spec
    return Actions, from_map


@app.cell
def _(Actions):
    actions = Actions()

    @actions.add("greet")
    def greet(name: str) -> dict[str, str]:
        return {"greeting": f"hello {name}"}

    edited = {
        "name": "Greeting",
        "version": "from-an-editor",
        "triggers": [
            {
                "name": "asked",
                "kind": "manual",
                "payload_schema": {
                    "type": "object",
                    "properties": {"name": {"type": "string"}},
                    "required": ["name"],
                },
            }
        ],
        "steps": [{"name": "greet", "kind": "function", "action": "greet"}],
        "routes": [{"source": "greet", "on": "ok", "target": "complete"}],
    }
    return actions, edited


@app.cell
def _(actions, edited, from_map, mermaid, mo, preview_graph):
    draft = from_map(edited, actions)
    assert draft.problems == ()
    forged = from_map(edited | {"run_id": "mine"}, actions)
    assert [problem.code for problem in forged.problems] == ["runtime_owned_field"]
    mo.mermaid(mermaid(preview_graph(draft)))
    return


@app.cell
def _(Mesh, actions, edited):
    authored = Mesh.connect("memory://", workflows=[], actions=actions)
    authored.activate_workflow(edited, actor="you")
    greeted = authored.start_run("Greeting", {"name": "Rosie"})
    while authored.execute_next():
        pass
    assert authored.inspect_run(greeted.run_id, history=True).output == {"greeting": "hello Rosie"}
    authored.inspect_run(greeted.run_id, history=True).output
    return


if __name__ == "__main__":
    app.run()

"""Graphs of runs and of definitions, as Mermaid, for the notebooks."""

from squidmesh import RunGraph

_FORMS = {"approval": '{{"', "pause": '{{"', "event": '{{"', "wait": '(["', "complete": '(("'}
_ENDS = {'{{"': '"}}', '(["': '"])', '(("': '"))', '["': '"]'}
_COLOURS = {
    "completed": "fill:#d7f0dd,stroke:#2e7d4f,color:#12331f",
    "running": "fill:#dbe9fb,stroke:#2f6fb5,color:#12263f",
    "retrying": "fill:#fdeccb,stroke:#b5792f,color:#3f2a12",
    "paused": "fill:#efe2fb,stroke:#7b4fb5,color:#2a1240",
    "waiting": "fill:#efe2fb,stroke:#7b4fb5,color:#2a1240",
    "failed": "fill:#fbdada,stroke:#b53a2f,color:#401212",
    "dead": "fill:#fbdada,stroke:#b53a2f,color:#401212",
}


def mermaid(graph: RunGraph) -> str:
    """A node has its status as a second line; routes that were not taken are dotted."""
    lines = ["graph LR"]
    for node in graph.nodes:
        begin = _FORMS.get(node.kind, '["')
        lines.append(f"  {node.id}{begin}{node.id}<br/><small>{node.status}</small>{_ENDS[begin]}")
        if node.status in _COLOURS:
            lines.append(f"  style {node.id} {_COLOURS[node.status]}")
    for edge in graph.edges:
        line = "-.->" if edge.status in ("skipped", "blocked") else "-->"
        said = " ".join(filter(None, ["" if edge.on in ("ok", "dependency") else edge.on, edge.condition]))
        label = f'|"{said.replace(chr(34), "&quot;")}"|' if said else ""
        lines.append(f"  {edge.source} {line}{label} {edge.target}")
    return "\n".join(lines)

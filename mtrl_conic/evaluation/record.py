"""The result of an evaluation, a dictionary that a notebook shows as a table."""

from __future__ import annotations

import html
from typing import Any

from mtrl_conic.evaluation.words import number


class Record(dict[str, Any]):
    """A line of `evaluations.jsonl` or the content of `result.json`."""

    def _repr_html_(self) -> str:
        """Return a table with a row per task and one for their mean, for a notebook."""
        columns = {"success": "success", "success_at_end": "at last step", "returns": "return"}
        shown = {key: title for key, title in columns.items() if self.get(key)}
        rows = [[task, *(self._cell(key, task) for key in shown)] for task in self["returns"]]
        if "success" in shown:
            rows.append(["mean", number(self["mean_success"]), number(self["mean_success_at_end"]), ""])
        head = "".join(f"<th>{title}</th>" for title in ("task", *shown.values()))
        body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
        words = f"{self['episodes_per_task']} episodes per task"
        return f"<table><caption>{words}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def _cell(self, key: str, task: str) -> str:
        return number(self[key][task]) if task in self[key] else ""

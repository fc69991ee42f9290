"""A page that shows figures, beside them."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

STYLE = (
    "body{font-family:sans-serif;max-width:75em;margin:2em auto;padding:0 1em;color:#222}"
    "img{max-width:100%}figure{margin:2em 0}figcaption{color:#555}"
    "table{border-collapse:collapse}td,th{text-align:left;padding:.2em 1em .2em 0;border-bottom:1px solid #ddd}"
)


class Entry(NamedTuple):
    """A figure of a page: its two files, and what it shows."""

    png: str
    svg: str
    words: str


def write_index(
    path: Path,
    title: str,
    facts: Mapping[str, object],
    entries: Sequence[Entry],
    table: Sequence[Sequence[object]] = (),
) -> None:
    """Write a page of facts, maybe a table (its first row is the header), and figures."""
    lines = [
        f"<!doctype html><meta charset=utf-8><title>{html.escape(title)}</title><style>{STYLE}</style>",
        f"<h1>{html.escape(title)}</h1><table>",
        *(f"<tr><th>{html.escape(name)}<td>{html.escape(_shown(value))}" for name, value in facts.items()),
        "</table>",
    ]
    if table:
        cells = [[html.escape(_shown(value)) for value in row] for row in table]
        lines.append("<h2>Table</h2><table><tr><th>" + "<th>".join(cells[0]))
        lines += ["<tr><td>" + "<td>".join(row) for row in cells[1:]]
        lines.append("</table>")
    for entry in entries:
        lines.append(
            f'<figure><a href="{html.escape(entry.svg)}"><img src="{html.escape(entry.png)}" alt=""></a>'
            f"<figcaption>{html.escape(entry.words)}</figcaption></figure>"
        )
    path.write_text("\n".join(lines) + "\n")


def _shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)

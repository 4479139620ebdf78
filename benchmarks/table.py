"""Results: a table for people, the same numbers unrounded for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import rich.table
from rich.console import Console

WIDTH: Final = 118

Cell = str | float | None
Row = tuple[Cell, ...]


class Column(NamedTuple):
    """`form` is how its numbers are written, as in `format`."""

    name: str
    form: str = ",.0f"


class Table(NamedTuple):
    """One scenario's result. `notes` say what else has to be known to read it."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    notes: Sequence[str] = ()

    def show(self, console: Console) -> None:
        drawn = rich.table.Table(box=None, pad_edge=False, header_style="bold")
        for n, column in enumerate(self.columns):
            drawn.add_column(column.name, justify="right" if n else "left")
        for row in self.rows:
            drawn.add_row(*self._texts(row))
        console.print(f"\n[bold]{self.title}[/bold]")
        console.print(drawn)
        for note in self.notes:
            console.print(f"  {note}")

    def as_json(self) -> dict[str, Any]:
        names = [column.name for column in self.columns]
        rows = [dict(zip(names, row, strict=True)) for row in self.rows]
        return {"title": self.title, "rows": rows, "notes": list(self.notes)}

    def _texts(self, row: Row) -> Iterator[str]:
        for column, cell in zip(self.columns, row, strict=True):
            yield cell if isinstance(cell, str) else "-" if cell is None else format(cell, column.form)

"""HTML elements of the report: document, tables, legends."""

from collections.abc import Iterable, Sequence
from html import escape

from mukoe.observability.report import svg

CSS = """
*{box-sizing:border-box}
body{margin:0 auto;max-width:1320px;padding:24px clamp(12px,3vw,32px) 64px;color:var(--ink);
background:var(--ground);font:15px/1.5 system-ui,sans-serif;color-scheme:light dark}
h1{font-size:22px;margin:0 0 4px}
h2{font-size:17px;margin:40px 0 8px;padding-bottom:4px;border-bottom:1px solid var(--rule)}
h3{font-size:14px;margin:24px 0 4px}
p{margin:6px 0;max-width:75ch}
.soft{color:var(--soft)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:5px 18px 5px 0;border-bottom:1px solid var(--rule);
vertical-align:top}
th{color:var(--soft);font-weight:500;white-space:nowrap}
td.number,th.number{text-align:right;white-space:nowrap}
td.words{min-width:14em;max-width:40em}
td.name{overflow-wrap:anywhere;min-width:15em}
.plots{display:grid;gap:20px 24px;
grid-template-columns:repeat(auto-fill,minmax(min(100%,350px),1fr))}
.plots.large{grid-template-columns:repeat(auto-fill,minmax(min(100%,480px),1fr))}
@media(min-width:1060px){.large svg text{font-size:8px}.large svg path{stroke-width:1.3}
.large svg path.faint{stroke-width:.7}}
figure{margin:0}
figcaption{font-size:13px;font-weight:600}
figcaption span{font-weight:400;color:var(--soft)}
svg{display:block;width:100%;height:auto}
.legend{display:flex;flex-wrap:wrap;gap:2px 20px;font-size:13px;margin:8px 0 12px}
.swatch{display:inline-block;width:14px;height:0;border-top:3px solid;margin-right:7px;
vertical-align:middle}
.swatch.dashed{border-top-style:dashed}
.shares{display:flex;flex-wrap:wrap;gap:0 12px;align-items:center}
.bar{display:flex;width:140px;height:10px;border-radius:2px;overflow:hidden}
.bar span{display:block;height:100%}
.bar span,.key{background:var(--ink);opacity:.75}
.key{display:inline-block;width:9px;height:9px;margin:0 3px 0 8px}
.shares .i1{opacity:.45}.shares .i2{opacity:.25}.shares .i3{opacity:.12}
.failed{color:var(--c6);font-weight:600}
.marked{color:var(--c1);white-space:normal}
ul.notes{margin:6px 0;padding-left:20px;font-size:13px;color:var(--soft)}
details{margin:14px 0}
summary{cursor:pointer;font-size:13px;font-weight:600}
code,pre{font:12px/1.5 ui-monospace,monospace;overflow-wrap:anywhere}
pre{white-space:pre-wrap;margin:6px 0}
"""


def document(title: str, body: Iterable[str]) -> str:
    """Returns an HTML document with its own styles and no external files."""
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            f"<title>{escape(title)}</title>",
            f"<style>{svg.style()}{CSS}{svg.HOVER_STYLE}</style></head><body>",
            *(part for part in body if part),
            "</body></html>\n",
        ]
    )


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    words: Sequence[str] = (),
    names: Sequence[str] = (),
    table_id: str = "",
) -> str:
    """Returns a table.

    Args:
      columns: headings.
      rows: cells as HTML.
      words: headings of the columns that hold text; others hold numbers.
      names: headings of the columns that hold names.
      table_id: id of the element; empty for none.
    """
    looks = [
        "words" if column in words else "name" if column in names else "number"
        for column in columns
    ]
    head = "".join(
        f'<th class="{look}">{escape(column)}</th>'
        for look, column in zip(looks, columns, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(f'<td class="{look}">{cell}</td>' for look, cell in zip(looks, row, strict=True))
        + "</tr>"
        for row in rows
    )
    identity = f' id="{table_id}"' if table_id else ""
    return (
        f'<div class="scroll"><table{identity}><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def legend(names: Sequence[str]) -> str:
    """Returns the names with the colours of their lines; nothing for a single name."""
    if len(names) < 2:
        return ""
    entries = [f"<span>{swatch(colour)}{escape(name)}</span>" for colour, name in enumerate(names)]
    return f'<div class="legend">{"".join(entries)}</div>'


def swatch(colour: int) -> str:
    """Returns a short stroke in a colour of the palette."""
    dashed = " dashed" if colour >= svg.NUM_COLOURS else ""
    index = colour % svg.NUM_COLOURS
    return f'<span class="swatch{dashed}" style="border-color:var(--c{index})"></span>'


def words(column: str) -> str:
    """Returns the name of a column with spaces, escaped."""
    return escape(column.replace("_", " "))


def counted(count: int, noun: str) -> str:
    """Returns a count with its noun in singular or plural."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"

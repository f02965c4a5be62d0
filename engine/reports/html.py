"""Reports as one HTML file: charts and styles are in it, nothing is fetched, and no script runs."""

from html import escape

from engine.plotting import svg
from engine.reports.document import Block, Bullets, Chart, Code, Paragraph, Report, Section, Table
from engine.text.visible import visible, visible_lines

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
"""Content Security Policy: were any text to slip through as markup, it could neither run nor fetch anything."""
STYLE = """\
:root { color-scheme: light dark; --ink: #1f2328; --soft: #59636e; --line: #d1d9e0; --page: #fff; --card: #f6f8fa;
  --good: #1a7f37; --warn: #9a6700; --bar: #0969da }
@media (prefers-color-scheme: dark) { :root { --ink: #d1d7e0; --soft: #9198a1; --line: #3d444d; --page: #0d1117;
  --card: #151b23; --good: #3fb950; --warn: #d29922; --bar: #4493f8 } }
body { font: 15px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 70rem;
  margin: 2.5rem auto; padding: 0 1.25rem }
h1 { font-size: 1.7rem; margin: 0 } h2 { font-size: 1.25rem; margin: 2.5rem 0 .6rem; padding-bottom: .3rem;
  border-bottom: 1px solid var(--line) } h3 { font-size: 1.02rem; margin: 1.8rem 0 .5rem }
.below, figcaption, caption { color: var(--soft); font-size: .88rem }
.lead { background: var(--card); border-left: 4px solid var(--good); padding: .8rem 1rem; font-weight: 600 }
.warn { border-left: 4px solid var(--warn); padding: .2rem 0 .2rem 1rem }
nav { margin: .8rem 0; font-size: .9rem } nav a { margin-right: 1rem } a { color: var(--bar) }
figure { margin: 1rem 0 } figure svg { max-width: 100%; height: auto; border: 1px solid var(--line);
  border-radius: 6px }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(24rem, 1fr)); gap: 0 1.25rem }
.scroll { overflow-x: auto; margin: .8rem 0 } caption { text-align: left; padding-bottom: .3rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .88rem }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap }
th { color: var(--soft); font-weight: 600 } .left { text-align: left } tr.marked { background: var(--card);
  font-weight: 600 } .bar { display: inline-block; width: 10rem; height: .7rem; position: relative }
.bar i { position: absolute; left: 0; top: 0; bottom: 0; background: var(--bar); border-radius: 2px }
.bar i:first-child { background: var(--line) }
pre { background: var(--card); border-radius: 6px; padding: .8rem 1rem; overflow-x: auto; font-size: .85rem }
@media print { body { margin: 0 } .scroll { overflow: visible } }
"""


def draw(report: Report) -> str:
    """The whole file, in UTF-8."""
    named = [(f"s{place}", section) for place, section in enumerate(report.sections)]
    links = "".join(f'<a href="#{name}">{text(s.title)}</a>' for name, s in named if s.level == 2)
    body = "\n".join(_section(name, section) for name, section in named)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{text(report.title)}</title>
<style>
{STYLE}</style>
</head>
<body>
<h1>{text(report.title)}</h1>
<p class="below">{text(report.below)}</p>
<nav>{links}</nav>
{body}
</body>
</html>
"""


def text(words: str) -> str:
    """Anybody's words as text, between tags and in attributes: nothing of it is markup, and nothing steers.

    >>> text('<script>"&')
    '&lt;script&gt;&quot;&amp;'
    """
    return escape(visible(words))


def _section(name: str, section: Section) -> str:
    blocks: list[str] = []
    charts = [block for block in section.blocks if isinstance(block, Chart)]
    if charts:
        blocks.append('<div class="charts">\n' + "\n".join(map(_chart, charts)) + "\n</div>")
    blocks += [_block(block) for block in section.blocks if not isinstance(block, Chart)]
    head = f'<h{section.level} id="{name}">{text(section.title)}</h{section.level}>'
    return "\n".join([head, *blocks])


def _block(block: Block) -> str:
    match block:
        case Paragraph():
            words = "<br>".join(text(line) for line in block.text.splitlines())
            return f'<p class="{block.role}">{words}</p>' if block.role else f"<p>{words}</p>"
        case Bullets():
            return "<ul>" + "".join(f"<li>{text(line)}</li>" for line in block.lines) + "</ul>"
        case Table():
            return _table(block)
        case Chart():
            return _chart(block)
        case Code():
            return f"<pre><code>{escape(visible_lines(block.text))}</code></pre>"


def _chart(block: Chart) -> str:
    return f"<figure>{svg.draw(block.figure)}<figcaption>{text(block.caption)}</figcaption></figure>"


def _table(block: Table) -> str:
    grid, sides = block.grid, block.grid.sides
    caption = f"<caption>{text(block.caption)}</caption>" if block.caption else ""
    heads = "".join(_cell("th", head, side) for head, side in zip(grid.headers, sides, strict=True))
    rows = []
    for place, row in enumerate(grid.rows):
        cells = "".join(_cell("td", cell, side) for cell, side in zip(row, sides, strict=True))
        bar = _bar(*block.bars[place]) if block.bars else ""
        rows.append(f"<tr{MARKED if place == block.marked else ''}>{cells}{bar}</tr>")
    wide = f"<table>{caption}<thead><tr>{heads}{'<th></th>' if block.bars else ''}</tr></thead>"
    return f'<div class="scroll">{wide}<tbody>{"".join(rows)}</tbody></table></div>'


MARKED = ' class="marked"'


def _cell(tag: str, words: str, side: str) -> str:
    return f"<{tag}{LEFT if side == 'left' else ''}>{text(words)}</{tag}>"


LEFT = ' class="left"'


def _bar(whole: float, left: float) -> str:
    widths = "".join(
        f'<i style="width:{100 * max(0.0, min(share, 1.0)):.1f}%"></i>' for share in (whole, left)
    )
    return f'<td class="left"><span class="bar">{widths}</span></td>'

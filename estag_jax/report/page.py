"""HTML pages that need nothing but themselves: style, program, pictures and data are in the one file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from zlib import crc32


class Section(NamedTuple):
    """A part of a page: its heading, and what is below as HTML."""

    heading: str
    html: str


def page(title: str, sections: Sequence[Section], lead: str = "") -> str:
    """A whole page with a list of its sections.

    Args:
      title: plain text.
      sections: in order.
      lead: HTML between the title and the sections.
    """
    names = [f"part-{i}" for i in range(1, len(sections) + 1)]
    links = "\n".join(
        f'<a href="#{name}">{escape(section.heading)}</a>'
        for name, section in zip(names, sections, strict=True)
    )
    parts = "\n".join(
        f'<section id="{name}">\n<h2>{escape(section.heading)}</h2>\n{section.html}\n</section>'
        for name, section in zip(names, sections, strict=True)
    )
    body = f'{lead}\n<nav aria-label="Sections">{links}</nav>\n{parts}'
    return document(title, body, f"<h1>{escape(title)}</h1>")


def document(title: str, body: str, heading: str = "<span></span>") -> str:
    """A document around HTML, with the style and the viewer's program."""
    own = files("estag_jax.report")
    given = {
        name: own.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "viewer.js")
    }
    template = Template(own.joinpath("page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(title),
        heading=heading,
        body=body,
        style=given["page.css"],
        script=given["viewer.js"],
    )


def _html(text: str) -> str:
    """Plain text as HTML; a power of ten, 10^-3 in a terminal, is set high and kept with its unit."""
    signed = re.sub(r"\b10\^-(?=\d)", "10^−", escape(text))
    return re.sub(r"\b10\^(−?\d+) ?", r"10<sup>\1</sup>&nbsp;", signed)


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of plain text."""
    named = f' class="{kind}"' if kind else ""
    return f"<p{named}>{_html(text)}</p>" if text else ""


def bullets(lines: Sequence[str]) -> str:
    """A list of lines of plain text; nothing for none."""
    listed = "".join(f"<li>{_html(line)}</li>" for line in lines)
    return f"<ul>{listed}</ul>" if listed else ""


def table(header: Sequence[str], lines: Sequence[Sequence[str]], own: int | None = None) -> str:
    """A table of plain text that scrolls sideways where it is too wide; the line ``own`` stands out."""
    head = "".join(f'<th scope="col">{_html(name.strip("*"))}</th>' for name in header)
    rows = []
    for i, line in enumerate(lines):
        cells = "".join(f"<td>{escape(cell.strip('*'))}</td>" for cell in line)
        rows.append(f'<tr class="own">{cells}</tr>' if i == own else f"<tr>{cells}</tr>")
    body = "\n".join(rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>'


def facts(values: Mapping[str, Any]) -> str:
    """A table of names and values; empty values are left out."""
    rows = "\n".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(str(value))}</td></tr>'
        for name, value in values.items()
        if value not in ("", None)
    )
    return f'<table class="facts"><tbody>{rows}</tbody></table>'


def chart(draw: Callable[[Path], Any], alternative: str) -> str:
    """A figure that ``draw`` writes as SVG, with a text in its place for those who cannot see it.

    Names in it are made its own, so that several figures fit on one page.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "chart.svg"
        draw(path)
        svg = path.read_text(encoding="utf-8")
    svg = svg[svg.index("<svg") :]
    mark = f"f{crc32(svg.encode()):08x}-"
    svg = re.sub(r'\bid="', f'id="{mark}', svg)
    svg = re.sub(r"(url\(#|href=\"#)", rf"\g<1>{mark}", svg)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    label = escape(alternative)
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
    return f"<figure>{svg}<figcaption>{label}</figcaption></figure>"

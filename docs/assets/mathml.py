"""Markdown extension of the site: `$...$` and `$$...$$` become MathML at build time, so that no page needs a script."""

import re
from xml.etree.ElementTree import Element

from latex2mathml.converter import convert
from markdown import Extension, Markdown
from markdown.inlinepatterns import InlineProcessor

_FORMULA = r"\$\$(?P<display>.+?)\$\$|\$(?!\s)(?P<inline>[^$\n]+?)(?<!\s)\$(?!\w)"


class _Formula(InlineProcessor):
    """Formula in LaTeX."""

    def __init__(self, md: Markdown) -> None:
        super().__init__(_FORMULA, md)
        self.compiled_re = re.compile(_FORMULA, re.DOTALL)

    def handleMatch(self, m: re.Match[str], data: str) -> tuple[str | Element, int, int]:  # type: ignore[override] # noqa: N802
        """Return the formula as MathML, kept from any further reading as Markdown."""
        display = m["display"]
        text = convert(display or m["inline"], display="block" if display else "inline")
        return self.md.htmlStash.store(text), m.start(), m.end()


class MathML(Extension):
    """Extension that reads formulas behind code spans and before escapes."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802
        """Register the pattern."""
        md.inlinePatterns.register(_Formula(md), "mathml", 185)


def makeExtension(**settings: object) -> MathML:  # noqa: N802
    """Return the extension, as Python-Markdown asks for it."""
    return MathML(**settings)

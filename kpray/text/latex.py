"""LaTeX in a text: commands, citations, environments and mathematics."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from kpray.text.edits import BLOCK_END, PHRASE_END, Edit

# A text is LaTeX if it has one of these; a path such as C:\Users is none.
_IS_LATEX = re.compile(
    r"\\(?:(?:sub)*section|chapter|paragraph|title|abstract|cite\w*|ref|label|emph|text\w\w|begin|footnote|caption)"
    r"\*?[{\[]|\\item\b|\\[`'^\"~=.Hcuv]\{\\?[A-Za-z]\}"
)
_LEFT_OUT = (  # with their arguments
    r"cite\w*|nocite|\w*ref|label|begin|end|includegraphics|usepackage|documentclass|bibliography\w*|input|include|url"
    r"|[vh]space|pagestyle|newcommand|renewcommand|setlength"
)
_BLOCKS = (
    r"(?:sub)*section|chapter|(?:sub)?paragraph|title|author|date|caption|item|maketitle|par|begin|end|newline"
    r"|documentclass|usepackage|bibliography\w*"
)
_MATH_ENVIRONMENTS = r"(?:equation|align|gather|multline|eqnarray|displaymath|math|verbatim|lstlisting|tikzpicture)"
_FORMULA = r"(?<![\\$])\$(?![\s$])(?P<inside>[^$\n]{1,300})(?<![\s\\])\$(?![\d$])"
_LATEX = re.compile(
    r"(?P<comment>(?<![\\\d])%[^\n]*)"
    r"|"
    + _FORMULA
    + r"|(?P<math>\\begin\{(?P<env>"
    + _MATH_ENVIRONMENTS
    + r"\*?)\}(?:(?!\\end\{(?P=env)\}).){0,5000}\\end\{(?P=env)\}"
    r"|\\\[(?:(?!\\\]).){0,2000}\\\]|\\\((?:(?!\\\)).){0,500}\\\)|\$\$[^$]{1,2000}\$\$)"
    r"|\\(?P<accent>[`'^\"~=.]|[uvHcdbkr](?=\{|\s))\s?(?:\{\\?(?P<braced>[A-Za-z])\}|\\?(?P<letter>[A-Za-z]))"
    r"|\\begin\{(?:tabular|tabularx|longtable|array|minipage)\*?\}(?:\[[^\]\n]{0,20}\])?(?:\{[^{}\n]{0,200}\}){1,2}"
    r"|(?P<cell>(?<!\\)&|\\(?:hline|toprule|midrule|bottomrule|cline\{[^{}]*\}))"
    r"|(?P<reference>~?\\(?:" + _LEFT_OUT + r")\*?(?:\[[^\]\n]{0,200}\]){0,2}\{[^{}]{0,500}\}(?:\[[^\]\n]{0,200}\])?)"
    r"|\\href\{[^{}]{0,500}\}"
    r"|(?P<command>\\(?P<name>[A-Za-z]+)\*?(?:\[[^\]\n]{0,200}\])?[ ]?)"
    r"|(?P<newline>\\\\(?:\[[^\]\n]{0,20}\])?)"
    r"|\\(?P<escaped>[&%$#_{}])|(?P<brace>[{}])|(?P<tie>~)|(?P<dash>(?<!-)--(?!-))|(?P<quote>``|'')"
    r"|(?P<thin>\\[,;!:/ -])",
    re.DOTALL,
)
_BLOCK_NAME = re.compile(rf"(?:{_BLOCKS})\Z")
_REFERENCE_BLOCK = re.compile(rf"~?\\(?:{_BLOCKS})\b")
_ACCENTS = dict(
    zip(
        "`'^\"~=.uvHcdbkr",
        "\u0300\u0301\u0302\u0308\u0303\u0304\u0307\u0306\u030c\u030b\u0327\u0323\u0331\u0328\u030a",
        strict=True,
    )
)
# The dollars of $k$ have no space inside and no digit after; "$5 and $10" is money.
_DOLLARS = re.compile(rf"(?P<display>\$\$[^$]{{1,2000}}\$\$)|(?<!\w){_FORMULA}")
_SYMBOL = re.compile(r"\\?[A-Za-z]+\d*|\d+")
_NO_MATH = re.compile(r"[A-Za-z]{3,} [A-Za-z]{3,}")
_LETTERS = {"o": "ø", "O": "Ø", "l": "ł", "L": "Ł", "ss": "ß", "ae": "æ", "AE": "Æ", "oe": "œ", "OE": "Œ", "aa": "å"}


def latex_edits(text: str) -> Iterator[Edit]:
    """Mathematics between dollars; in LaTeX, commands, citations and environments besides.

    The text of a command such as `emph` stays. A symbol such as `$k$` stays: it may be part of a term.
    """
    if "\\" in text and _IS_LATEX.search(text):
        yield from _command_edits(text)
    elif "$" in text:
        for match in _DOLLARS.finditer(text):
            if match["display"]:
                yield Edit(*match.span(), BLOCK_END)
            elif not _NO_MATH.search(match["inside"]):
                yield Edit(*match.span(), _formula(match["inside"]))


def _formula(inside: str) -> str:
    return inside.removeprefix("\\") if _SYMBOL.fullmatch(inside) else PHRASE_END


def _command_edits(text: str) -> Iterator[Edit]:
    headings: list[bool] = []  # for each open brace, whether it encloses a heading
    heading = False
    for match in _LATEX.finditer(text):
        after_heading, heading = heading, False
        replacement = ""
        if match["cell"]:
            replacement = BLOCK_END
        elif match["inside"]:
            replacement = _formula(match["inside"])
        elif match["math"]:
            replacement = PHRASE_END
        elif match["accent"]:
            replacement = unicodedata.normalize("NFC", (match["braced"] or match["letter"]) + _ACCENTS[match["accent"]])
        elif match["reference"]:
            replacement = BLOCK_END if _REFERENCE_BLOCK.match(match[0]) else ""
        elif match["name"]:
            heading = bool(_BLOCK_NAME.match(match["name"]))
            replacement = BLOCK_END if heading else _LETTERS.get(match["name"], "")
        elif match[0] == "{":
            headings.append(after_heading)
        elif match[0] == "}":
            replacement = BLOCK_END if headings and headings.pop() else ""
        elif match["escaped"]:
            replacement = match["escaped"]
        else:
            kind = match.lastgroup or ""
            replacement = {"newline": BLOCK_END, "tie": " ", "thin": " ", "dash": "\u2013", "quote": '"'}.get(kind, "")
        yield Edit(*match.span(), replacement)

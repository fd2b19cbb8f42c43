"""Colours of the pages: enough contrast on light and dark screens, by the formula of WCAG 2."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

import kpray

_PACKAGE = Path(kpray.__file__).parent
_TEMPLATES = _PACKAGE / "report" / "templates"
_VARIABLE = re.compile(r"--([a-z0-9-]+): #([0-9a-f]{3,6});")
SHADES = ("s1", "s2", "s3", "s4")


def colours(files: tuple[Path, ...], *, dark: bool) -> dict[str, str]:
    """The variables of a page with their colours, such as `ffffff`."""
    found: dict[str, str] = {}
    for file in files:
        light_rules, dark_rules = re.split(r"@media \(prefers-color-scheme: dark\)", file.read_text("utf-8"))
        found |= dict(_VARIABLE.findall(light_rules))
        found |= dict(_VARIABLE.findall(dark_rules)) if dark else {}
    return {name: value if len(value) == 6 else "".join(2 * digit for digit in value) for name, value in found.items()}


def luminance(colour: str) -> float:
    parts = [int(colour[start : start + 2], 16) / 255 for start in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(
    ("files", "pairs"),
    [
        ((_TEMPLATES / "base.html", _TEMPLATES / "word_scores.html"), ("ink paper", "quiet paper")),
        (
            (_PACKAGE / "serve" / "page.html",),
            (
                "ink paper",
                "ink card",
                "soft paper",
                "soft card",
                "ink mark",
                "accent paper",
                "accent card",
                "on-accent accent",
                "alert alert-paper",
            ),
        ),
    ],
)
def test_texts_can_be_read(files: tuple[Path, ...], pairs: tuple[str, ...], dark: bool) -> None:
    by_name = colours(files, dark=dark)
    for pair in (*pairs, *(f"ink {shade}" for shade in SHADES)):
        one, other = pair.split()
        assert contrast(by_name[one], by_name[other]) >= 4.5, pair
    # A stronger shade differs more from the background, for every kind of colour vision.
    steps = [contrast(by_name[shade], by_name["paper"]) for shade in SHADES]
    assert steps == sorted(steps)
    assert all(after / before > 1.1 for before, after in pairwise(steps)), steps

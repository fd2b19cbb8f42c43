"""Cleaning of texts: what is left out, and offsets into the text as given."""

from __future__ import annotations

import time
import unicodedata

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kpray.text.cleaning import Cleaned, clean
from kpray.text.words import split_words

ABSTRACT = (
    "We present a state-of-the-art parser (F1 of 91.2%) for e.g. English; its cost is O(n log n) if a < b and c > d. "
    "It costs $5 and not $10, and reads C# and C++ & more. See Sect. 3.1-3.4, pages 100-1999; Erdős–Rényi graphs at "
    "5 @ 3 are [1, 2] handled by x_i * y_i * z_i, and `quoted' words."
)


def pieces(text: str, lang: str = "en") -> list[str]:
    """The cleaned text between the ends of phrases."""
    parts = clean(text, lang).text.replace(" , ", "\n\n").split("\n\n")
    return [" ".join(part.split()) for part in parts if part.strip()]


def test_an_ordinary_text_does_not_change() -> None:
    assert clean(ABSTRACT) == Cleaned(ABSTRACT)
    assert clean("") == Cleaned("")
    spans = np.array([[0, 2], [3, 10]], dtype=np.int32)
    assert clean(ABSTRACT).given_spans(spans) is spans


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # characters
        ("photo\u00advoltaic cells", ["photovoltaic cells"]),
        ("photo\u00ad\nvoltaic cells", ["photovoltaic cells"]),
        ("a \ufb01ne of\ufb01ce", ["a fine office"]),
        ("nai\u0308ve Bayes", ["naïve Bayes"]),
        ("zero\u200bwidth\ufeff \u202aspace\u202c", ["zerowidth space"]),
        ("Auf\u200clage 5\u00a0kg", ["Auflage 5 kg"]),
        ("می\u200cخواهم क्\u200dष", ["می\u200cخواهم क्\u200dष"]),
        # HTML
        ("<p>One <b>heat</b> pump<br/>two</p><p>three</p>", ["One heat pump", "two", "three"]),
        ("CO<sub>2</sub> emissions", ["CO2 emissions"]),
        ('<a class="x" href=\'y>z\' download="">valve</a> test', ["valve test"]),
        ("<table><tr><td>pipe</td><td>pump</td></tr></table>", ["pipe", "pump"]),
        (
            "tea &amp; coffee&nbsp;beans &lt;p&gt; caf&eacute; &#8211; &unknown; AT&T; &nbsp&copy 1",
            ["tea & coffee beans", "café – &unknown; AT&T; © 1"],
        ),
        ("before<script>var x = '<p>';</script>after <!-- not <p>this</p> --> end", ["before", "after", "end"]),
        ("<jats:p>Soil <jats:italic>moisture</jats:italic></jats:p>", ["Soil moisture"]),
        ("if a<b and c>d then", ["if a<b and c>d then"]),
        ("an open <script> tag", ["an open", "tag"]),
        ("<placeholder> <my name>", ["<placeholder> <my name>"]),
        # LaTeX
        (r"\section{Soil water} The \emph{root zone}~\cite[p.~3]{a,b} dries.", ["Soil water", "The root zone dries."]),
        (r"\textbf{Fast} \begin{equation} E = mc^2 \end{equation} relay 5\% % a comment", ["Fast", "relay 5%"]),
        (r"\emph{Schr\"{o}dinger} and Erd\H{o}s--R\'enyi graphs, Gau\ss", ["Schrödinger and Erdős–Rényi graphs, Gauß"]),
        (r"a $k$-means and $\alpha$ and $x_i = 3$ values", ["a k-means and alpha and", "values"]),
        (r"files in C:\Users\ann and $HOME and $PATH", ["files in", "and $HOME and $PATH"]),
        ("It costs $5 and sells for $10.", ["It costs $5 and sells for $10."]),
        ("a law $$x^2 + y$$ of circles", ["a law", "of circles"]),
        # Markdown
        ("a [pump guide][g] and [hose][], but [1][2]", ["a pump guide and hose, but [1][2]"]),
        ("[![build](b.svg)](https://b)\n[![docs](d.svg)](https://d)\n\nSplits audio files.", ["Splits audio files."]),
        (
            '# Audio\nSplits [audio files](https://x/y_(z) "t") **fast** with `cut()` now',
            ["Audio", "Splits audio files fast with", "now"],
        ),
        ("See\n```python\nimport os\n```\nthere and ![a chart](c.png) here", ["See", "there and", "here"]),
        ("| name | size |\n|---|---|\n| bolt | 3 mm |", ["| name | size |", "| bolt | 3 mm |"]),
        ("Overview\n========\nText of it", ["Overview", "Text of it"]),
        ("relations B*-trees, CTL*, A* and k*", ["relations B*-trees, CTL*, A* and k*"]),
        ("an ``old quote'' and `another' one `x", ["an ``old quote'' and `another' one `x"]),
        # addresses
        ("See app://a.example/b?c=d&e, www.f.example. Or g.example/h and i.org.", ["See", ",", ". Or", "and", "."]),
        ("Ask <ann.lee+x@corp.example> or call 555-0142 today", ["Ask", "or call", "today"]),
        ("Phone +44 20 7946 0958 or (555) 010-0199 now", ["Phone", "or", "now"]),
        ("ranges 550-1100 nm, 2019-2021, ISBN 0-306-40615-2", ["ranges 550-1100 nm, 2019-2021, ISBN 0-306-40615-2"]),
        ("Node.js and ASP.NET and the U.S./Canada border", ["Node.js and ASP.NET and the U.S./Canada border"]),
        (
            "RT @rail_news: New #NightTrain to Turin #railway #publicholidays",
            ["New Night Train to Turin railway, public holidays"],
        ),
        ("ticket #4471 in C# at F#m", ["ticket #4471 in C# at F#m"]),
        ("recall@5, P@10, name @ home", ["recall@5, P@10, name @ home"]),
        ("#RiverFair2031 is on", ["River Fair 2031 is on"]),
        # code
        ("Set max_tree_depth or pass --tree-depth=3 to fit_model().", ["Set", "or pass", "to", "."]),
        ("Build it:\n$ make install\nfrom /usr/local/src or ~/src/tool/a.c", ["Build it:", "from", "or"]),
        (
            "TiO_2 and x_i, and/or, n/m/k, 3 -- 4, /sup 3// of __init__",
            ["TiO_2 and x_i, and/or, n/m/k, 3 -- 4, /sup 3// of __init__"],
        ),
        # mail
        (
            "From: Bo <bo@x.example>\nTo: y@x.example\nSubject: RE: Fwd: Broken valve\n\n"
            "The valve leaks.\n\n-- \nBo Li\nPlumber",
            ["Broken valve", "The valve leaks."],
        ),
        (
            "Agreed.\n\nOn Mon, 3 Mar 2025, Bo Li wrote:\n> The valve\n> leaks.\n\nSent from my phone",
            ["Agreed.", "The valve leaks."],
        ),
        ("  * Fix a leak.\n\n -- Bo Li <bo@x.example>  Mon, 03 Mar 2025 10:00:00 +0100", ["* Fix a leak."]),
        ("From: the beginning\nwe saw", ["From: the beginning we saw"]),
        (
            "Von: Bo <b@x.example>\nAn: y@x.example\nBetreff: AW: Pumpe defekt\n\nSie tropft.",
            ["Pumpe defekt", "Sie tropft."],
        ),
        # lines
        ("Garden hose\nWatering can\nHedge trimmer", ["Garden hose", "Watering can", "Hedge trimmer"]),
        ("green tea\nblack coffee\norange juice", ["green tea", "black coffee", "orange juice"]),
        ("- red wine\n- white\n  wine\n2. rum", ["- red wine", "- white wine", "2. rum"]),
        ("SHIP TO\nAnn Lee\n12 High Street\nOxford", ["SHIP TO", "Ann Lee", "12 High Street", "Oxford"]),
        ("Shopping:\n2 cups rye flour\nfresh yeast", ["Shopping:", "2 cups rye flour", "fresh yeast"]),
        ("Ann Lee\n12 High Street\nOxford", ["Ann Lee", "12 High Street", "Oxford"]),
        (
            "The river and its many\ntributaries flood. Farmers of the\nValley move.",
            ["The river and its many tributaries flood. Farmers of the Valley move."],
        ),
        (
            "Cooling towers\nThe water of a cooling tower evaporates, and the rest of the water is colder than\n"
            "before, in New\nYork as well.",
            [
                "Cooling towers",
                "The water of a cooling tower evaporates, and the rest of the water is colder than "
                "before, in New York as well.",
            ],
        ),
        ("item    price\nnails    3\nscrews    4", ["item", "price", "nails", "3", "screws", "4"]),
        (
            "ther-\nmal insu-\nlation; long-\nterm, Navier-\nStokes, state-of-the-\nart",
            ["thermal insulation; long-term, Navier-Stokes, state-of-the-art"],
        ),
        ("on-\nline on-line", ["on-line on-line"]),
        ("high-\nlight highlight", ["highlight highlight"]),
        # nothing else there
        ("https://a.example/b", ["https://a.example/b"]),
    ],
)
def test_what_is_left(text: str, expected: list[str]) -> None:
    assert pieces(text) == expected


def test_hyphens_in_other_languages_are_joined() -> None:
    assert pieces("Haus-\nbau und Luft-\nwärme", "de") == ["Hausbau und Luftwärme"]


def test_spans_point_into_the_text_as_given() -> None:
    given_text = "<p>The cafe\u0301 &amp; the <b>water</b> hea-\nter #NightTrain of\ufb01ce</p>"
    cleaned = clean(given_text)
    words = split_words(cleaned.text)
    spans = cleaned.given_spans(np.array(words.spans, dtype=np.int32))
    assert spans.dtype == np.int32
    assert {word: given_text[start:end] for word, (start, end) in zip(words.texts, spans.tolist(), strict=True)} == {
        "The": "The",
        "café": "cafe\u0301",
        "&": "&amp;",
        "the": "the",
        "water": "water",
        "heater": "hea-\nter",
        "Night": "Night",
        "Train": "Train",
        "office": "of\ufb01ce",
    }


ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=[]), max_size=60)
MARKUP = st.lists(
    st.sampled_from(
        "<p> </p> <b> <script> </script> <!-- --> &amp; &nbsp; &lt;p&gt; \\emph{ \\cite{a} } { \\begin{equation} "
        "\\end{equation} $ $x$ \\\\ % ~ `` ` ``` # * ** [ ]( ) ![ | --- - -\n \n \n\n \t @ann #Tag #a_b #bC a@b.cc "
        "http://a.b/c > -- From: To: Subject: word Word e\u0301 \u0301 \u00ad \u200b \ufb01 \u1100\u1161 . , "
        "[[ ]] [[a|b]] ''' {{x}} :func:`x` `b`_ [b] [/b] @book{a, title={b}} 10:22:01 --> {\"a\": b.c/d.py Hi, "
        "Regards, copyright 2020 Name: References Subject: 12 A. [1] /a/b".split(" ")
    )
    | ANY_TEXT,
    max_size=30,
).flatmap(lambda parts: st.sampled_from(["".join(parts), " ".join(parts)]))


@settings(deadline=None, max_examples=500)
@given(text=ANY_TEXT | MARKUP)
@example("-\n\u0301<p>\ud800")
def test_any_text_is_cleaned_and_its_offsets_are_in_order(text: str) -> None:
    cleaned = clean(text)
    if cleaned.starts is None or cleaned.ends is None:
        assert cleaned.text == text
        return
    assert len(cleaned.starts) == len(cleaned.ends) == len(cleaned.text)
    assert (cleaned.starts < cleaned.ends).all()
    assert (np.diff(cleaned.starts) >= 0).all()
    assert (np.diff(cleaned.ends) >= 0).all()
    assert not len(cleaned.ends) or 0 <= cleaned.starts[0] <= cleaned.ends[-1] <= len(text)


@settings(deadline=None, max_examples=300)
@given(text=MARKUP)
def test_a_character_comes_from_itself_or_from_what_it_replaces(text: str) -> None:
    cleaned = clean(text)
    if cleaned.starts is None or cleaned.ends is None:
        return
    for character, start, end in zip(cleaned.text, cleaned.starts, cleaned.ends, strict=True):
        if end - start == 1 and character.isalnum():
            # one letter comes from the same letter, but for ligatures and composed accents
            assert character == text[start] or character in unicodedata.normalize("NFKC", text[start])


@settings(deadline=None)
@given(text=st.text(alphabet="ae\u0301\u0327\u1100\u1161\u11a8\u0f71\u0f72 \u212b한", max_size=12))
def test_accents_have_one_form(text: str) -> None:
    assert clean(text).text == unicodedata.normalize("NFC", text)


# Parts of markup; "N" is a line break, "_" a blank.
PARTS = r"""
    < <!-- <script> <a_x=' & \emph{ $a \begin{equation} [ ![ [![ ]( (( ` * *a _ ```N a. a@ 1- +1 # #a @a -N a-N
    --a /a/ a_ _a a( From:N >N --N On_aN aN | a/ a.a 0 Aa: 1: a:N =N [a] {{ [[ '' :` __N aN_aN Hi_ == .._aN a=
    00: a1 {N (N 1:00 [1 @article{a, ~~ [^ A. Thanks,N intendedN copyright_ -->N License:N a,_ Files:N NAMEN_a_-_ */a
    {"a": <li><a_b>
    """


@pytest.mark.parametrize("part", [*PARTS.split(), "   ", "\t", "\u0301", "\u200b"])
def test_time_is_linear(part: str) -> None:
    def seconds(text: str) -> float:
        start = time.process_time()
        clean(text)
        return time.process_time() - start

    part = part.replace("N", "\n").replace("_", " ")
    text = part * (50_000 // len(part))
    assert seconds(text) < 5

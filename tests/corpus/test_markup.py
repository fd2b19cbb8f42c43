"""HTML and reStructuredText."""

from __future__ import annotations

import importlib.resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpray.corpus.markup import html_text, parse_xml, rst_text, xhtml_text
from kpray.errors import RejectedDocument

PAGE = """<!DOCTYPE html>
<html><head><title>Bees - Insect Site</title><style>p {color: red}</style><script>var bees = 1 < 2;</script></head>
<body>
<nav><a href="/">Home</a></nav>
<div role="banner">Insect Site</div>
<main>
<h1>How <em>bees</em> see<a class="headerlink" href="#a">¶</a></h1>
<div class="toc"><ul><li>Contents</li></ul></div>
<p>Bees see polar<b>ised</b> light&nbsp;&amp; ultra&shy;violet.<br>They   use
it.</p>
<ul><li>eyes</li><li>antennae</li></ul>
<table><tr><td>queen</td><td>lays eggs</td></tr></table>
<p>Call <code>bee.fly()</code> now.</p>
<pre>left_out()</pre>
<p hidden>not shown</p>
<form><button>Subscribe</button></form>
</main>
<aside>Advertisement</aside>
<footer>Imprint</footer>
</body></html>"""


def test_page() -> None:
    title, text = html_text(PAGE.encode())
    assert title == "How bees see"
    assert text.split("\n\n") == [
        "Bees see polarised light & ultra\u00adviolet.",
        "They use it.",
        "eyes",
        "antennae",
        "queen",
        "lays eggs",
        "Call , now.",
    ]


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("", ("", "")),
        ("just text", ("", "just text")),
        ("<title>T</title>", ("T", "")),
        ("<title>T</title><p>T</p><p>a</p>", ("T", "a")),
        ("<title>Site</title><h1>A</h1><p>a</p><h1>B</h1>", ("Site", "A\n\na\n\nB")),
        ("<p>one<p>two", ("", "one\n\ntwo")),
        ("<article><p>a</p></article><article><p>b</p></article>", ("", "a\n\nb")),
        ("<nav>only a menu</nav>", ("", "only a menu")),
        ("<p>a &lt;b&gt; c</p>", ("", "a <b> c")),
        ("<p>a<!-- comment -->b</p>", ("", "ab")),
        ("<p>x<script>not read</script>y</p>", ("", "x\n\ny")),
    ],
)
def test_small_pages(page: str, expected: tuple[str, str]) -> None:
    assert html_text(page.encode()) == expected


def test_deeply_nested_page_is_read_and_a_deeper_one_rejected() -> None:
    assert html_text(b"<div>" * 1000 + b"bees") == ("", "bees")
    for page in (b"<div>" * 100_000 + b"bees", b"<p>bees" + b"<b>" * 5000 + b"x"):
        with pytest.raises(RejectedDocument, match=r"^the HTML is nested too deeply, or a text in it is too long$"):
            html_text(page)
    with pytest.raises(RejectedDocument, match=r"^the XML is nested too deeply, or a text in it is too long$"):
        xhtml_text(b"<div>" * 1000 + b"bees")


@settings(deadline=None)
@given(page=st.text(st.sampled_from("<>/!-&;pdiv h1 code\"'=ab\n\0"), max_size=80))
def test_any_page_is_text(page: str) -> None:
    title, text = html_text(page.encode())
    assert isinstance(title + text, str)


def test_entities_of_xml_are_not_expanded_and_no_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    bomb = '<!ENTITY a "bees">' + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 50}">' for n in range(6))
    for entities, reference in ((bomb, "&g;"), (f'<!ENTITY x SYSTEM "{tmp_path / "secret"}">', "&x;")):
        try:
            root = parse_xml(f"<!DOCTYPE a [{entities}]><a>{reference}</a>".encode())
            text = "" if root is None else "".join(root.itertext())
        except RejectedDocument as error:
            text = error.reason
        assert "secret" not in text
        assert len(text) < 200


RST = """
.. _top:

=============
How bees see
=============

:Author: Ada Example

.. contents::

.. note:: Bees see *polarised* light, see :doc:`wasps <wasps/index>` and :ref:`ants`.

Call :func:`bee.fly` or ``fly()``, **now**, see `the site <https://bees.example>`_ |logo|.

.. |logo| image:: logo.png
.. include:: /etc/passwd
.. raw:: html

   <p>left out</p>

Eyes
====

* one
* two

.. code-block:: python

   left_out()

Example::

    left out, too

.. versionadded:: 2.0

===== =====
queen eggs
===== =====

.. a comment
"""


def test_rst() -> None:
    title, text = rst_text(RST, 10_000)
    assert title == "How bees see"
    assert text.split("\n\n") == [
        "Ada Example",
        "Bees see polarised light, see wasps and ants.",
        "Call , or , , now, see the site , .",
        "Eyes",
        "one",
        "two",
        "Example:",
        "queen",
        "eggs",
    ]


@pytest.mark.parametrize("source", ["", "plain", "*unclosed", "`unclosed <", ".. image::", "====\nbroken\n===", "|x|"])
def test_broken_rst_is_read(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    title, _ = rst_text(source, 10_000)
    assert title == ""
    assert capsys.readouterr() == ("", "")


def test_rst_reads_no_file(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    source = f".. include:: {tmp_path}/secret.txt\n\n.. csv-table::\n   :file: {tmp_path}/secret.txt\n\n.. raw:: html\n"
    source += f"   :file: {tmp_path}/secret.txt\n"
    assert "secret" not in "".join(rst_text(source, 10_000))


def test_deeply_nested_rst_is_rejected() -> None:
    source = "\n".join(" " * depth + "* x" for depth in range(0, 2000, 2))
    with pytest.raises(RejectedDocument, match=r"^the reStructuredText is nested too deeply$"):
        rst_text(source, 10_000_000)


def test_installed_rst_file(read: Any) -> None:
    file = importlib.resources.files("numpy") / "ma" / "README.rst"
    if not file.is_file():
        pytest.skip("this NumPy has no ma/README.rst")
    [record] = read("a.rst", file.read_bytes())
    assert record.document.title == "A guide to masked arrays in NumPy"
    assert "masked" in record.document.body
    assert "``" not in record.document.body


def test_installed_html_file(read: Any) -> None:
    file = importlib.resources.files("importlinter") / "ui" / "static" / "index.html"
    if not file.is_file():
        pytest.skip("this Import Linter has no page")
    [record] = read("a.html", file.read_bytes())
    assert record.document.title == "Import Linter"
    assert "Display the total number of imports" in record.document.body
    assert "<" not in record.document.body

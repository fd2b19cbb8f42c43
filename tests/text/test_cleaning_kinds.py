"""Cleaning of kinds of text: mails, chats, logs, code, tickets, manuals, web pages and markup."""

from __future__ import annotations

import time

import pytest

from kpray.text.cleaning import clean
from kpray.text.line_ends import hyphen_edits


def pieces(text: str) -> list[str]:
    """The cleaned text between the ends of phrases, without those that have no letter."""
    parts = clean(text).text.replace(" , ", "\n\n").split("\n\n")
    return [" ".join(part.split()) for part in parts if any(map(str.isalpha, part))]


def check(text: str, expected: list[str]) -> None:
    assert pieces(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ｔｈｅ ＧＰＵ２　driver", ["The GPU2 driver"]),
        ("The farmâ€™s cafÃ© and CAFÉ»", ["The farm’s café and CAFÉ»"]),
    ],
)
def test_characters(text: str, expected: list[str]) -> None:
    check(text, expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "<html><head><title>Otters</title></head><body><nav><a href='/'>Home</a></nav><p>Sea otters dive.</p>"
            "<footer>Imprint</footer></body></html>",
            ["Sea otters dive."],
        ),
        (
            "<!doctype html><body><ul>" + '<li class="x"><a href="/a">All <b>topics</b></a></li>\n' * 4 + "</ul>"
            "<ul><li>One <a href='/b'>link</a></li></ul></body>",
            ["One link"],
        ),
        ("<x-card data-a='1'><p>Tide pools</p></x-card> and <x-other> here", ["Tide pools", "and <x-other> here"]),
        (
            "<?xml version='1.0'?><rss><item><title>Ice</title><pubDate>Tue</pubDate><p><![CDATA[Thin <b>ice</b>]]></p>"
            "</item></rss>",
            ["Ice", "Thin ice"],
        ),
        ("salt &amp;amp; sea&amp;nbsp;weed &amp;lt;p&amp;gt; kelp", ["salt & sea weed", "kelp"]),
        ('<p>Tide pools</p><img src="a.p', ["Tide pools"]),
        ("<a href=x>Boat trips</a> <a href=y>Whale tours</a>", ["Boat trips", "Whale tours"]),
        ("<p>Bus lanes help.</p><script>if (a < b) { f('<p>x</p>')", ["Bus lanes help."]),
        (
            '<body><div class="cookie-banner"><div>We set some.</div></div><div id="page-menu"><h1>Kelp</h1>'
            "<p>Kelp grows in cold water near the coast.</p></div></body>",
            ["Kelp", "Kelp grows in cold water near the coast."],
        ),
        ("a[b[i]]>c is code", ["a[b[i]]>c is code"]),
    ],
)
def test_html(text: str, expected: list[str]) -> None:
    check(text, expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("---\ntitle: Kelp\ntags: [sea]\n---\nKelp grows.", ["Kelp grows."]),
        ('+++\ntitle = "Kelp"\n+++\nKelp grows.', ["Kelp grows."]),
        ("A reef[^1] and ~~old~~ coral.\n\n[^1]: Note on it.", ["A reef and old coral.", "Note on it."]),
        (
            "The _tide pool_, the __sea wall__ and snake_case of __init__ and x_i",
            ["The tide pool, the sea wall and", "of __init__ and x_i"],
        ),
        ("- [x] Map view\n- [ ] Route list", ["- Map view", "- Route list"]),
        (
            "'''Peat''' is [[organic soil|soil]] in [[bog]]s.<ref>{{cite|a}}</ref>\n\n== Use ==\n{{Box|a=1}}Fuel.",
            ["Peat is soil in bogs.", "Use", "Fuel."],
        ),
        ("[b]Fan noise[/b] at [url=http://a.b]night[/url] [code]x = 1[/code]", ["Fan noise at night"]),
        (
            "Gauge\n=====\n\n.. image:: a.svg\n   :target: b\n\n.. code-block:: python\n\n   import gauge\n"
            "   gauge.run()\n\nRead the :func:`gauge.read` of ``x`` in the `sea guide <http://a.b>`_.",
            ["Gauge", "Read the", "of", "in the sea guide."],
        ),
        (
            "@article{a1, title={Wave farms}, author={Li, A.}, year={2019}}\nWave farms need cables.",
            ["Wave farms", "Wave farms need cables."],
        ),
        (
            r"\begin{tabular}{l|c}Method & Recall \\ \hline Random forest & 0.8\end{tabular}",
            ["Method", "Recall", "Random forest"],
        ),
    ],
)
def test_markup(text: str, expected: list[str]) -> None:
    check(text, expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Hi Bo,\n\nthe roof leaks.\n\nKind regards,\n\nDr. Ann Lee\nSenior Surveyor\nT: +44 20 7946 0991 | Leeds",
            ["the roof leaks."],
        ),
        ("Dear Sir or Madam,\n\nthe roof leaks.\n\nYours sincerely\nAnn Lee", ["the roof leaks."]),
        ("Hi Bo\n\nThe roof leaks.\n\nThanks!\nAnn\n\nAnn Lee | Roofs | 555-010-0199", ["The roof leaks."]),
        ("> Hello Ann,\n> is the roof tight?\n>\n> Bo\n\nNo.", ["is the roof tight?", "No."]),
        ("The roof leaks.\n\nBegin forwarded message:\n\nFrom: Bo\nSubject: Roof", ["The roof leaks.", "Roof"]),
        ("Dear students, the hall has changed.\nBring a pen.", ["Dear students, the hall has changed. Bring a pen."]),
        (
            "We all send them our very warm\nregards and our\nthanks.",
            ["We all send them our very warm regards and our thanks."],
        ),
        (
            "The roof leaks.\n\nThis e-mail and its attachments are confidential and intended for the addressee.\n"
            "Delete it if you are not the recipient.",
            ["The roof leaks."],
        ),
        (
            "We send the key.\n\nOnly the intended recipient can read the cipher text, which is confidential.",
            ["We send the key.", "Only the intended recipient can read the cipher text, which is confidential."],
        ),
        ("The roof leaks.\n" + "_" * 40 + "\nroofs mailing list\nroofs@a.example", ["The roof leaks."]),
        (
            "From a@b.example Fri Apr 06 16:46:09 2001\nSubject: [roofs] Re: Leak\nX-Mailer: y\n\n--=_part1\n"
            "Content-Type: text/plain;\n boundary=x\n\nThe roof leaks.\n--=_part1--",
            ["Leak", "The roof leaks."],
        ),
    ],
)
def test_mail(text: str, expected: list[str]) -> None:
    check(text, expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[10:22] ann: the fan is loud\n[10:23] bo: clean the filter", ["the fan is loud", "clean the filter"]),
        (
            "05/03/2024, 10:22 - Ann Lee: The fan is loud\n05/03/2024, 10:24 - Bo: <Media omitted>",
            ["The fan is loud"],
        ),
        ("<ann> the fan is loud\n<bo> ok\n--> kim has joined #fans", ["the fan is loud", "ok"]),
        ("Ann [10:22 AM]\nthe fan is loud\nBo [10:23 AM]\nok", ["the fan is loud", "ok"]),
        (
            "1\n00:00:01,000 --> 00:00:02,000\nThe deep\n\n2\n00:00:03,000 --> 00:00:04,000\nsea hides.\n\n3\n"
            "00:00:05,000 --> 00:00:06,000\n[MUSIC]\nFish glow.",
            ["The deep sea hides.", "Fish glow."],
        ),
        (
            "2024-03-05 10:22:01,123 ERROR [main] a.b.Gate - Gate timeout\n"
            "2024-03-05T10:22:02Z WARN [w-1] a.b.Gate - Queue is full",
            ["Gate timeout", "Queue is full"],
        ),
        ("Mar  5 10:22:01 web01 sshd[41]: Disk is full\nMar  5 10:22:02 web01 cron: Done", ["Disk is full", "Done"]),
        ('10.0.0.1 - - [05/Mar/2024:10:22:01 +0000] "GET /a HTTP/1.1" 500 1\nIt failed.', ["It failed."]),
        ("ERROR: disk failed\nWARNING: fan slow", ["disk failed", "fan slow"]),
    ],
)
def test_transcripts(text: str, expected: list[str]) -> None:
    check(text, expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'It stops:\n\nTraceback (most recent call last):\n  File "/a/b.py", line 4, in load\n    row = parse(x)\n'
            "ValueError: bad row\n\nA column is missing.",
            ["It stops:", "bad row", "A column is missing."],
        ),
        (
            "java.io.IOException: Broken pipe\n\tat a.b.C.d(C.java:8)\n\t... 12 more\nThe pump stops.",
            ["Broken pipe", "The pump stops."],
        ),
        (
            "Use it:\n\nimport pump\n\ndef main():\n    p = pump.Pump(2)\n    p.start()\n\nThe pump starts.",
            ["Use it:", "The pump starts."],
        ),
        ("for (int i = 0; i < n; i++) {\n  sum += v[i];\n}\nIt adds up.", ["It adds up."]),
        ("SELECT name FROM pumps WHERE id = 4;\nThe query is slow.", ["The query is slow."]),
        ('It returns:\n{\n  "id": "X",\n  "tags": ["a"]\n}\nEach pump has one.', ["It returns:", "Each pump has one."]),
        ('{"title": "Pump test", "id": "x1", "text": "The pump leaks."}', ["Pump test", "The pump leaks."]),
        ("spec:\n  ports:\n    - port: 80\n      name: web\n\nThe proxy listens.", ["The proxy listens."]),
        ("Colours:\n- red\n- blue\nSizes: two", ["Colours:", "- red", "- blue", "Sizes: two"]),
        ("[server]\nport = 80\n\nThe proxy listens.", ["The proxy listens."]),
        ("root@web:~# df -h\nC:\\Users\\ann> dir\n>>> import os\nThe disk is full.", ["The disk is full."]),
        (
            "It fixes a leak.\n\ndiff --git a/p.py b/p.py\nindex 3f2a1b9..9c8d7e1 100644\n--- a/p.py\n+++ b/p.py\n"
            "@@ -1,2 +1,2 @@ def p():\n-    old pump\n+    new pump\n",
            ["It fixes a leak."],
        ),
        (
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nThe poll moves.\n-----BEGIN PGP SIGNATURE-----\n\n"
            "iQEzBAEB\n-----END PGP SIGNATURE-----",
            ["The poll moves."],
        ),
        ("Dust\n" + "qTXmxzuOd7WXdcc9DyjU53ewFni4s0fGhdiYaEhGBelICTNoV1j5" + "\nIt ends.", ["Dust", "It ends."]),
        ("If the pump (the old one) stops,\ncall us; we come.", ["If the pump (the old one) stops, call us; we come."]),
    ],
)
def test_code(text: str, expected: list[str]) -> None:
    check(text, expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("at 2024-03-05T10:22:01.123Z or 10:25 AM (UTC+1) it stops", ["at", "or", "it stops"]),
        ("from v2.3.1-rc.2 to 3.0.0 with GCC 4.5", ["from", "to", "with GCC 4.5"]),
        (
            "order 550e8400-e29b-41d4-a716-446655440000 of commit 9fceb02d0ae598e9 is late",
            ["order", "of commit", "is late"],
        ),
        ("MAC 00:1B:44:11:3A:B7 and fe80::1ff:fe23:4567 fail", ["MAC", "and", "fail"]),
        ("pay to IBAN DE89 3704 0044 0532 0130 00 or card 4111 1111 1111 1111", ["pay to", "or card"]),
        ("ticket [PUMP-12] (Closes: #12) fixed", ["ticket", "fixed"]),
        (
            "vitamin B12, COVID-19, IL-6, F-16, 5G, ISO 9001, GPT-4",
            ["vitamin B12, COVID-19, IL-6, F-16, 5G, ISO 9001, GPT-4"],
        ),
        ("crop rotation (Smith et al., 2019; Lee & Ray, 2020, p. 4) helps", ["crop rotation", "helps"]),
        ("the study of Miller (1999) and (in May 2001)", ["the study of Miller (1999) and (in May 2001)"]),
        ("edit $HOME/pump and debian/rules at GMT+1", ["edit", "and", "at"]),
        ("edit src/main/App.java or report.pdf in java.util.List now", ["edit", "or", "in", "now"]),
        ("Vue.js, U.S.A., and/or, red/green/blue, test/train", ["Vue.js, U.S.A., and/or, red/green/blue, test/train"]),
        ("It ended.The next.Third", ["It ended.The next.Third"]),
        ("set TZ=Europe/Oslo where n=10 and x=y", ["set", "where n=10 and x=y"]),
        ("go to example.shop or a.co.uk or ann [at] b [dot] org", ["go to", "or", "or"]),
        ("@ann@b.example wrote; Tel. 020 7946 0018 or (0221) 4710-123", ["wrote;", "or"]),
    ],
)
def test_data(text: str, expected: list[str]) -> None:
    check(text, expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Steps to reproduce:\n1. Open the map.\n\nExpected result: it loads.\nPriority: High\nAssignee: ann",
            ["1. Open the map.", "it loads."],
        ),
        ("Copyright (c) 2024 Foo Ltd.\nSPDX-License-Identifier: MIT\nPump control.", ["Pump control."]),
        ("Copyright law protects\nauthors.", ["Copyright law protects authors."]),
        (
            "pump (1.2-3) unstable; urgency=medium\n\n  * Fix a leak.\n\n"
            " -- Ann <a@b.example>  Tue, 05 Mar 2024 10:22:01 +0100",
            ["* Fix a leak."],
        ),
        ("2024-03-05  Ann Lee  <a@b.example>\n\n\t* src/p.c (pump): Fix a leak.", ["Fix a leak."]),
        (
            "PUMP(1)          Manual          PUMP(1)\n\nNAME\n       pump - moves water\n\nSYNOPSIS\n"
            "       pump [-v] FILE\n\nDESCRIPTION\n       It moves water.\n\nSEE ALSO\n       valve(1)\n",
            ["moves water", "It moves water."],
        ),
        ("Files: *\nCopyright: 2020 Ann Lee\nLicense: GPL-2\n This is free.", ["This is free."]),
        (
            "Peat holds carbon [1].\n\nReferences\n\n[1] A. Lee. Peat soils. J. Soil,\n2019.\n[2] B. Ray. Bogs.\n\n"
            "Appendix A\nMore peat.",
            ["Peat holds carbon [1].", "Appendix A", "More peat."],
        ),
        ("References\nWe give two of them.", ["References", "We give two of them."]),
        ("Page 3 of 12\nThe crane lifts.\nClick here to unsubscribe.", ["The crane lifts."]),
        ("We use cookies.\nAbstract: Sea otters dive.", ["Sea otters dive."]),
    ],
)
def test_boilerplate(text: str, expected: list[str]) -> None:
    check(text, expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Chapter 3: Tidal power\nTurbines turn slowly in deep water.",
            ["Chapter 3: Tidal power", "Turbines turn slowly in deep water."],
        ),
        ("Dr. Ann Lee\nHigh Street 12\nOxford", ["Dr. Ann Lee", "High Street 12", "Oxford"]),
        ("Name: Ann\nTrade: plumber", ["Name: Ann", "Trade: plumber"]),
        (
            "Charge the pump.\nUse the cable\nHold the button.",
            ["Charge the pump.", "Use the cable", "Hold the button."],
        ),
        ("FREE DELIVERY\nOrder before noon\n30 DAY RETURNS", ["FREE DELIVERY", "Order before noon", "30 DAY RETURNS"]),
        (
            "The tram stops at Old\nTown Hall. The Old Town\nHall is new.",
            ["The tram stops at Old Town Hall. The Old Town Hall is new."],
        ),
        ("➢ red wine\n➢ white\nwine", ["➢ red wine", "➢ white wine"]),
    ],
)
def test_lines(text: str, expected: list[str]) -> None:
    check(text, expected)


def test_an_abstract_takes_little_time() -> None:
    text = "We present a state-of-the-art parser (F1 of 91.2%) for e.g. English; its cost is low if a < b. " * 10
    start = time.process_time()
    for _ in range(100):
        clean(text)
    assert time.process_time() - start < 0.2


def test_hyphens_of_a_text_whose_language_is_not_known_yet() -> None:
    text = "The long-\nterm growth of the sea-\nweed in cold water is the sub-\nject of our report."
    for start, end, replacement in reversed(list(hyphen_edits(text, "auto"))):
        text = text[:start] + replacement + text[end:]
    assert text == "The long-term growth of the seaweed in cold water is the subject of our report."

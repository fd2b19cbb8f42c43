"""Detection of languages."""

from __future__ import annotations

import pytest

from kpray.text import detection
from kpray.text.detection import document_language


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The glacier retreats because the summers become warmer every year.", ("en", "detected")),
        ("Der Gletscher schmilzt, weil die Sommer jedes Jahr wärmer werden.", ("de", "detected")),
        ("Le glacier recule parce que les étés sont plus chauds chaque année.", ("fr", "detected")),
        ("O glaciar recua porque os verões são cada vez mais quentes.", ("pt", "detected")),
        ("Ледник тает, потому что лето с каждым годом теплее.", ("ru", "detected")),
        ("여름이 해마다 더워지기 때문에 빙하가 줄어든다.", ("ko", "detected")),
        ("冰川因为夏天越来越热而后退。", ("zh", "detected")),
        ("氷河は夏が年々暑くなるため後退している。", ("ja", "detected")),
        ("GLACIERS RETREAT AS SUMMERS BECOME WARMER", ("en", "detected")),
        ("https://example.org/the/english/page Der Gletscher schmilzt im Sommer.", ("de", "detected")),
        ("BERT", ("en", "assumed")),
        ("iPhone 15", ("en", "assumed")),
        ("12345", ("en", "assumed")),
        ("", ("en", "assumed")),
    ],
)
@pytest.mark.parametrize("lang", ["auto", "und", ""])
def test_detection(lang: str, text: str, found: tuple[str, str]) -> None:
    assert document_language(lang, text) == found


def test_a_short_text_in_another_script_is_not_english() -> None:
    assert document_language("auto", "Лёд")[0] != "en"


@pytest.mark.parametrize("lang", ["de", "English", "xx"])
def test_a_named_language_counts(lang: str) -> None:
    assert document_language(lang, "Le glacier recule.") == (lang, "named")


PROSE = (
    "We describe an algorithm for the ranking of the nodes in graphs that are too large for the memory of one machine. "
    "The nodes are divided by the community to which they belong, and each community is ranked on its own."
)


def test_english_prose_needs_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    assert detection._identifier().classify(PROSE)[0] == "en"
    monkeypatch.delattr(detection, "_identifier")
    assert document_language("auto", PROSE) == ("en", "detected")


@pytest.mark.parametrize(
    "text",
    [
        "Wir beschreiben ein Verfahren, das Knoten in Graphen ordnet, die für den Speicher zu groß sind. " * 3,
        "We ordenen de knopen in een graaf: is de graaf te groot of het geheugen te klein, dan lezen we in delen. " * 2,
        "The glacier retreats because the summers become warmer every year.",  # too short
        f"{PROSE} Nous décrivons un algorithme qui classe les nœuds de graphes trop grands pour une seule machine.",
    ],
    ids=["German", "Dutch", "short", "two languages"],
)
def test_all_other_texts_are_left_to_the_model(text: str) -> None:
    assert not detection._is_plain_english(text)

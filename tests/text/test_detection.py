"""Detection of languages."""

from __future__ import annotations

import pytest

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

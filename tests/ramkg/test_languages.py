from __future__ import annotations

from pathlib import Path

import pytest

from kpray.errors import UserError
from kpray.ramkg.languages import MBART_25, MBART_50, language_code
from tests.ramkg.tiny_generator import load_tokenizer, save_plain_tokenizer

PAPERS = {"de": "de_DE", "es": "es_XX", "fr": "fr_XX", "it": "it_IT", "zh": "zh_CN", "ko": "ko_KR"}
SPELT = {
    "zh_CN": "zh_CN",
    "zh-cn": "zh_CN",
    "zh-Hans": "zh_CN",
    "ZH": "zh_CN",
    "cn": "zh_CN",
    "kr": "ko_KR",
    "KO": "ko_KR",
}


@pytest.mark.parametrize(("lang", "code"), [*PAPERS.items(), *SPELT.items(), ("en", "en_XX"), ("en_GB", "en_XX")])
@pytest.mark.parametrize("kind", ["mbart25", "mbart50"])
def test_languages_of_the_datasets_of_the_paper(seq2seq: dict[str, str], kind: str, lang: str, code: str) -> None:
    assert language_code(lang, load_tokenizer(seq2seq[kind])) == code


def test_every_language_of_mbart(seq2seq: dict[str, str]) -> None:
    assert (len(MBART_25), len(set(MBART_50))) == (25, 52)
    for kind, codes in (("mbart25", MBART_25), ("mbart50", MBART_50)):
        tokenizer = load_tokenizer(seq2seq[kind])
        assert set(codes) <= set(tokenizer.all_special_tokens)
        for code in codes:
            assert language_code(code[:2], tokenizer) == code
            assert language_code(code, tokenizer) == code


def test_language_without_a_token(seq2seq: dict[str, str]) -> None:
    tokenizer = load_tokenizer(seq2seq["mbart25"])
    assert language_code("pt_BR", load_tokenizer(seq2seq["mbart50"])) == "pt_XX"
    with pytest.raises(UserError) as error:
        language_code("pt_BR", tokenizer, where="a.jsonl:7")
    assert str(error.value).startswith(
        "a.jsonl:7: the model has no token for the language 'pt_BR'; it has ar_AR, cs_CZ,"
    )
    assert "zh_CN (choose a backbone" in str(error.value)


@pytest.mark.parametrize("kind", ["bart", "t5"])
@pytest.mark.parametrize("lang", ["fr", "en", "xx", "le"])  # "le" is a word piece
def test_tokenizers_without_languages(seq2seq: dict[str, str], kind: str, lang: str) -> None:
    assert language_code(lang, load_tokenizer(seq2seq[kind])) is None


def test_the_name_of_a_token_is_a_language(tmp_path: Path) -> None:
    save_plain_tokenizer(tmp_path, "t5", languages=["en", "xx"])
    tokenizer = load_tokenizer(str(tmp_path))
    assert [language_code(lang, tokenizer) for lang in ("en", "xx")] == ["en", "xx"]
    with pytest.raises(UserError, match="no token for the language 'yy'; it has en"):
        language_code("yy", tokenizer)

"""Language tokens of multilingual models, by the language codes of documents."""

from __future__ import annotations

from typing import Any

from kpray.errors import UserError
from kpray.text.languages import primary_language

MBART_25 = tuple(
    """
    ar_AR cs_CZ de_DE en_XX es_XX et_EE fi_FI fr_XX gu_IN hi_IN it_IT ja_XX kk_KZ ko_KR lt_LT lv_LV my_MM ne_NP nl_XX
    ro_RO ru_RU si_LK tr_TR vi_VN zh_CN
    """.split()
)
MBART_50 = MBART_25 + tuple(
    """
    af_ZA az_AZ bn_IN fa_IR he_IL hr_HR id_ID ka_GE km_KH mk_MK ml_IN mn_MN mr_IN pl_PL ps_AF pt_XX sv_SE sw_KE ta_IN
    te_IN th_TH tl_XX uk_UA ur_PK xh_ZA gl_ES sl_SI
    """.split()
)
_CODES = {primary_language(code): code for code in MBART_50}


def language_code(lang: str, tokenizer: Any, *, where: str = "lang") -> str | None:
    """Find the token of a language.

    Args:
        lang: language code as given in the record: `zh`, `zh-cn` and `zh_CN` all give `zh_CN`. If the tokenizer has a
            special token with the same name, the result is that token.
        tokenizer: a fast tokenizer of transformers.
        where: location in errors: the record, or a field of the configuration.

    Returns:
        The token, or None if the tokenizer has no language tokens, as in T5 and BART.

    Raises:
        UserError: the tokenizer has language tokens, but none for this language.
    """
    unnamed = unnamed_tokens(tokenizer)
    if lang in unnamed:
        return lang
    template = tokenizer.backend_tokenizer.encode("").tokens
    codes = [token for token in unnamed if token in MBART_50 or token in template]
    if not codes:
        return None
    code = _CODES.get(primary_language(lang))
    if code not in codes:
        raise UserError(
            f"the model has no token for the language {lang!r}; it has {', '.join(codes)}",
            where=where,
            fix="choose a backbone for this language, or correct the record's field `lang`",
        )
    return code


def unnamed_tokens(tokenizer: Any) -> list[str]:
    """Special tokens without a role such as end or padding; they include the language tokens."""
    named = set(map(str, tokenizer.special_tokens_map.values()))
    special = (str(token) for token in tokenizer.added_tokens_decoder.values() if token.special)
    return [token for token in special if token not in named]

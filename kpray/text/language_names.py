"""Names and three-letter codes (ISO 639-2 and 639-3) of the languages that kpray knows by a two-letter code."""

from __future__ import annotations

import re

# Two-letter code (ISO 639-1): English name | three-letter codes, other names
_TABLE = """
    af: Afrikaans | afr
    am: Amharic | amh
    ar: Arabic | ara, العربية, arb
    as: Assamese | asm
    az: Azerbaijani | aze
    be: Belarusian | bel
    bg: Bulgarian | bul, български
    bn: Bengali | ben, বাংলা, bangla
    bo: Tibetan | bod, tib
    br: Breton | bre
    ca: Catalan | cat, català
    cs: Czech | ces, cze, čeština
    da: Danish | dan, dansk
    de: German | deu, ger, deutsch
    dz: Dzongkha | dzo
    el: Greek | ell, gre, ελληνικά
    en: English | eng
    eo: Esperanto | epo
    es: Spanish | spa, español, espanol
    et: Estonian | est, eesti
    eu: Basque | eus, baq, euskara
    fa: Persian | fas, per, فارسی, farsi
    fi: Finnish | fin, suomi
    fr: French | fra, fre, français, francais
    ga: Irish | gle, gaeilge
    gl: Galician | glg, galego
    gu: Gujarati | guj
    ha: Hausa | hau
    he: Hebrew | heb, עברית
    hi: Hindi | hin, हिन्दी
    hr: Croatian | hrv, hrvatski
    hu: Hungarian | hun, magyar
    hy: Armenian | hye, arm, հայերեն
    id: Indonesian | ind, bahasa indonesia
    is: Icelandic | isl, ice, íslenska
    it: Italian | ita, italiano
    ja: Japanese | jpn, 日本語
    ka: Georgian | kat, geo
    kk: Kazakh | kaz
    km: Khmer | khm
    kn: Kannada | kan
    ko: Korean | kor, 한국어
    ku: Kurdish | kur, kmr, ckb
    ky: Kirghiz | kir, kyrgyz
    la: Latin | lat
    lo: Lao | lao
    lt: Lithuanian | lit, lietuvių
    lv: Latvian | lav, latviešu
    mk: Macedonian | mkd, mac
    ml: Malayalam | mal
    mn: Mongolian | mon
    mr: Marathi | mar, मराठी
    ms: Malay | msa, may, bahasa melayu
    my: Burmese | mya, bur, myanmar
    ne: Nepali | nep
    nl: Dutch | nld, dut, nederlands
    no: Norwegian | nor, norsk, bokmål, nynorsk, nob, nno
    or: Oriya | ori
    pa: Panjabi | pan, punjabi
    pl: Polish | pol, polski
    ps: Pushto | pus, pashto
    pt: Portuguese | por, português, portugues
    ro: Romanian | ron, rum, română
    ru: Russian | rus, русский
    si: Sinhala | sin, sinhalese
    sk: Slovak | slk, slo, slovenčina
    sl: Slovenian | slv, slovenščina, slovene
    so: Somali | som
    sq: Albanian | sqi, alb, shqip
    sr: Serbian | srp, српски, srpski
    st: Southern Sotho | sot, sotho, sesotho
    sv: Swedish | swe, svenska
    sw: Swahili | swa, kiswahili
    ta: Tamil | tam
    te: Telugu | tel
    th: Thai | tha, ไทย
    tl: Tagalog | tgl, filipino
    tr: Turkish | tur, türkçe
    ug: Uighur | uig
    uk: Ukrainian | ukr, українська
    ur: Urdu | urd, اردو
    uz: Uzbek | uzb
    vi: Vietnamese | vie, tiếng việt
    yo: Yoruba | yor
    zh: Chinese | zho, chi, 中文, 汉语, mandarin, cmn
    zu: Zulu | zul
"""
_ROWS = [re.split(r": | \| |, ", line.strip()) for line in _TABLE.strip().splitlines()]
#: Two-letter code -> name in English.
ENGLISH_NAMES = {code: name for code, name, *_ in _ROWS}
#: Three-letter code or lower-case name -> two-letter code.
CODES = {name.lower(): code for code, *names in _ROWS for name in names}

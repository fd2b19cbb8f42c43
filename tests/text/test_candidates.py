"""Candidate phrases of texts with given tags."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpray.errors import RejectedDocument
from kpray.text.candidates import CandidateRule, find_candidates
from kpray.text.general_words import PAPER_STOP_WORDS
from kpray.text.noun_phrases import BRIEF, MAX_CHARACTERS, MAX_WORDS
from kpray.text.tagging import Tagger, load_tagger, one_by_one
from kpray.text.thai import has_thai_tagger
from kpray.text.words import split_words

TaggedSentence = list[tuple[str, str]]

NO_TAGGER = Tagger("none", one_by_one(lambda words: []))  # for languages without a tagger


def tagged_text(sentences: list[TaggedSentence], separator: str = " ") -> tuple[str, Tagger]:
    """A text and a tagger that knows the tag of each of its words."""
    text = separator.join(" ".join(word for word, _ in sentence) for sentence in sentences)
    tags = {tuple(word for word, _ in sentence): [tag for _, tag in sentence] for sentence in sentences}
    return text, Tagger("fixed", one_by_one(lambda words: tags[tuple(words)]))


def candidates(tagged: str, rule: CandidateRule) -> list[str]:
    """Candidates of one sentence written as word/TAG word/TAG."""
    sentence = [(word, tag) for word, _, tag in (token.rpartition("/") for token in tagged.split())]
    text, tagger = tagged_text([sentence])
    words, spans = find_candidates(text, "en", rule, tagger)
    assert words.texts == [word for word, _ in sentence]
    assert spans.dtype == np.int32
    return [" ".join(words.texts[start:end]) for start, end in spans.tolist()]


@pytest.mark.parametrize("rule", ["paper", "extended"])
@pytest.mark.parametrize(
    ("tagged", "phrases"),
    [
        ("neural/JJ networks/NNS learn/VBP graphs/NNS", ["neural networks", "graphs"]),
        ("deep/JJ and/CC sparse/JJ ,/, graphs/NNS", ["graphs"]),  # an adjective alone is not a candidate
        ("networks/NNS sparse/JJ are/VBP", ["networks"]),  # a candidate ends with a noun
        ("graph/NN sparse/JJ matrix/NN", ["graph sparse matrix"]),
        ("Monte/NNP Carlo-like/JJ Markov/NNP chains/NNPS", ["Monte Carlo-like Markov chains"]),
        ("graphs/NNS ,/, trees/NNS", ["graphs", "trees"]),
        ("graphs/NNS ,/NN trees/NNS", ["graphs", "trees"]),  # punctuation is not a noun, even if the tagger says so
        ("theory/NN -LRB-/NN graphs/NNS -RRB-/NN", ["theory", "graphs"]),
        ("graph/NN of/IN trees/NNS", ["graph", "trees"]),
        ("graph/NN x/NN trees/NNS", ["graph", "trees"]),  # too short to be a word
        ("red/NN green/NN blue/NN pink/NN grey/NN", ["red green blue pink grey"]),
        (f"{'a' * MAX_CHARACTERS}/NN", ["a" * MAX_CHARACTERS]),
        (f"{'a' * (MAX_CHARACTERS + 1)}/NN graph/NN", ["graph"]),
        ("the/DT running/VBG graphs/NNS", ["graphs"]),
        ("Trees/NN", ["Trees"]),
        ("C++/NN code/NN", ["C++ code"]),
    ],
)
def test_both_rules(tagged: str, phrases: list[str], rule: CandidateRule) -> None:
    assert candidates(tagged, rule) == phrases


def test_stop_words_of_the_paper() -> None:
    """The published code drops phrases that begin with one of 319 words."""
    text = pytest.importorskip("sklearn.feature_extraction.text")
    assert len(PAPER_STOP_WORDS) == 319
    assert text.ENGLISH_STOP_WORDS | {"computer"} == PAPER_STOP_WORDS


@pytest.mark.parametrize(
    ("tagged", "paper", "extended"),
    [
        # A phrase that starts with a stop word tagged as an adjective is dropped; a general word is removed instead.
        ("such/JJ graphs/NNS", [], ["graphs"]),
        ("same/JJ graphs/NNS", [], ["graphs"]),
        ("Own/JJ graphs/NNS", [], ["graphs"]),
        ("these/JJ graphs/NNS and/CC trees/NNS", ["trees"], ["trees"]),
        ("sparse/JJ same/JJ graphs/NNS", ["sparse same graphs"], ["sparse same graphs"]),
        # All general words at the start are removed before the words are counted.
        ("novel/JJ efficient/JJ graph/NN", ["novel efficient graph"], ["graph"]),
        ("Novel/JJ red/NN green/NN blue/NN pink/NN grey/NN", [], ["red green blue pink grey"]),
        ("graph/NN novel/JJ tree/NN", ["graph novel tree"], ["graph novel tree"]),
        # Phrases that consist of general words are dropped.
        ("results/NNS and/CC trees/NNS", ["results", "trees"], ["trees"]),
        ("graph/NN results/NNS", ["graph results"], ["graph results"]),
        ("running/VBG graphs/NNS", ["graphs"], ["running graphs"]),  # an item of two words
        # Comparatives, and past participles that stand before the noun.
        ("denser/JJR graphs/NNS", ["graphs"], ["denser graphs"]),
        ("densest/JJS graphs/NNS", ["graphs"], ["densest graphs"]),
        ("distributed/VBN sparse/JJ graphs/NNS", ["sparse graphs"], ["distributed sparse graphs"]),
        ("graphs/NNS distributed/VBN widely/RB", ["graphs"], ["graphs"]),
        ("distributed/VBN ,/, graphs/NNS", ["graphs"], ["graphs"]),
        ("shared/VBN distributed/VBN memory/NN", ["memory"], ["distributed memory"]),
        ("given/VBN graphs/NNS", ["graphs"], ["graphs"]),
        # Abbreviations of two letters.
        ("AI/NN systems/NNS", ["systems"], ["AI systems"]),
        ("PC/NNP", [], ["PC"]),
        ("ai/NN trees/NNS", ["trees"], ["trees"]),
        ("AI/JJ graphs/NNS", ["graphs"], ["AI graphs"]),
        ("2D/CD images/NNS", ["images"], ["2D images"]),
        ("the/DT pH/NN sensor/NN", ["sensor"], ["pH sensor"]),
        # A phrase of more than five words gives its last three; the paper drops it.
        ("red/NN green/NN blue/NN pink/NN grey/NN teal/NN", [], ["pink grey teal"]),
        # A text with content words is never without a candidate.
        ("results/NNS", ["results"], ["results"]),
        ("several/JJ methods/NNS", [], ["several methods"]),
        ("computer/NN systems/NNS and/CC interest/NN rates/NNS", [], ["computer systems", "interest rates"]),
        ("these/JJ graphs/NNS", [], ["graphs"]),
        ("run/VB quickly/RB and/CC rest/VB", [], ["run quickly", "rest"]),
        ("it/PRP is/VBZ so/RB", [], []),
        ("2009/CD !/.", [], []),
        # Modifiers that make terms stay; so do names, and terms of general words.
        ("big/JJ data/NNS and/CC deep/JJ learning/NN", ["big data", "deep learning"], ["big data", "deep learning"]),
        ("real/JJ numbers/NNS and/CC trees/NNS", ["real numbers", "trees"], ["real numbers", "trees"]),
        ("in/IN Great/NNP Yarmouth/NNP", ["Great Yarmouth"], ["Great Yarmouth"]),
        ("New/NNP Haven/NNP grows/VBZ", ["New Haven"], ["New Haven"]),
        ("New/JJ Bayesian/JJ networks/NNS", ["New Bayesian networks"], ["Bayesian networks"]),
        ("time/NN series/NN with/IN trees/NNS", ["time series", "trees"], ["time series", "trees"]),
        # Letters, numbers, possessives and dashes inside a term.
        ("low/JJ vitamin/NN B/NNP levels/NNS", ["low vitamin", "levels"], ["low vitamin B levels"]),
        ("K/NNP vitamins/NNS", ["vitamins"], ["K vitamins"]),
        ("A/DT graph/NN", ["graph"], ["graph"]),
        ("plan/NN B/NNP failed/VBD", ["plan"], ["plan B"]),
        ("a/DT graph/NN G/NNP", ["graph"], ["graph"]),
        ("type/NN 1/CD error/NN", ["type", "error"], ["type 1 error"]),
        ("figure/NN 1/CD error/NN", ["figure", "error"], ["error"]),
        ("runs/VBZ Ubuntu/NNP 24.04/CD now/RB", ["Ubuntu"], ["Ubuntu 24.04"]),
        ("Hodgkin/NNP 's/POS garden/NN", ["Hodgkin", "garden"], ["Hodgkin", "garden"]),
        ("Fermat/NNP 's/POS theorem/NN", ["Fermat", "theorem"], ["Fermat 's theorem"]),
        ("Crohn/NNP ’s/NNP disease/NN", ["Crohn", "disease"], ["Crohn ’s disease"]),
        ("the/DT firm/NN 's/POS profit/NN", ["firm", "profit"], ["firm", "profit"]),
        # Stop words in capitals are acronyms, and those of emphasis are not.
        ("the/DT IT/NNP budget/NN", ["budget"], ["IT budget"]),
        ("a/DT CAN/MD frame/NN", ["frame"], ["CAN frame"]),
        ("trees/NNS AND/NNP graphs/NNS", ["trees AND graphs"], ["trees AND graphs"]),
        # Verbs that are tagged as nouns.
        ("GRB2/NNP binds/NNS EGFR/NNP", ["GRB2 binds EGFR"], ["GRB2", "EGFR"]),
        ("roof/NN tiles/NNS age/NN", ["roof tiles age"], ["roof tiles"]),
        ("valves/NNS leak/NN detection/NN", ["valves leak detection"], ["valves", "detection"]),
        # Abbreviations of running text.
        ("trees/NNS ,/, e.g/NN", ["trees", "e.g"], ["trees"]),
        ("A/NN graph/NN", ["graph"], ["graph"]),
    ],
)
def test_where_the_rules_differ(tagged: str, paper: list[str], extended: list[str]) -> None:
    assert candidates(tagged, "paper") == paper
    assert candidates(tagged, "extended") == extended


@pytest.mark.parametrize(
    ("tagged", "paper", "brief", "long"),
    [
        ("first/JJ example/NN and/CC trees/NNS", ["trees"], ["first example", "trees"], ["trees"]),
        ("model/NN results/NNS and/CC trees/NNS", ["model results", "trees"], ["model results", "trees"], ["trees"]),
        ("strong/JJ trees/NNS", ["strong trees"], ["strong trees"], ["trees"]),
        ("several/JJ trees/NNS", [], ["trees"], ["trees"]),
        ("results/NNS and/CC trees/NNS", ["results", "trees"], ["trees"], ["trees"]),
    ],
)
def test_a_brief_text_keeps_general_words_of_phrases(
    tagged: str, paper: list[str], brief: list[str], long: list[str]
) -> None:
    assert candidates(tagged, "paper") == paper
    assert candidates(tagged, "extended") == brief
    assert candidates(tagged + " grow/VB" * BRIEF, "extended") == long


@pytest.mark.parametrize("rule", ["paper", "extended"])
@pytest.mark.parametrize("separator", ["\n\n", "\r\n\r\n", "\n \n"])
def test_no_phrase_crosses_the_end_of_a_paragraph(separator: str, rule: CandidateRule) -> None:
    heading: TaggedSentence = [("Neural", "JJ"), ("networks", "NNS")]
    text, tagger = tagged_text([heading, [("Graph", "NN"), ("theory", "NN"), ("helps", "VBZ")]], separator)
    words, spans = find_candidates(text, "en", rule, tagger)
    assert [words.texts[start:end] for start, end in spans.tolist()] == [["Neural", "networks"], ["Graph", "theory"]]


def test_no_sequence_of_words_crosses_the_end_of_a_paragraph() -> None:
    words, spans = find_candidates("Réseaux neuronaux\n\nThéorie spectrale", "fr", "extended", NO_TAGGER)
    assert [words.texts[start:end] for start, end in spans.tolist()] == [
        ["Réseaux", "neuronaux"],
        ["Théorie", "spectrale"],
    ]


WORDS = st.sampled_from(["graph", "Trees", "deep", "on", "x", "peer-to-peer", ",", "(", "2009", "of", "-LRB-", "AI"])
TAGS = st.sampled_from(["NN", "NNS", "NNP", "NNPS", "JJ", "JJR", "VBN", "IN", "CD", "POS"])


@given(st.lists(st.lists(st.tuples(WORDS, TAGS), min_size=1, max_size=12), min_size=1, max_size=3))
def test_paper_rule_agrees_with_nltk(drawn: list[TaggedSentence]) -> None:
    from nltk.chunk.regexp import RegexpParser

    parser = RegexpParser("NP: {<NN.*|JJ>*<NN.*>}")
    # Each sentence starts with a unique word, by which the tagger identifies it.
    sentences = [[(f"Sentence{number}", "DT"), *sentence, (".", ".")] for number, sentence in enumerate(drawn)]
    expected: list[tuple[int, int]] = []
    before = 0
    for sentence in sentences:
        # Words of one or two characters and punctuation split a phrase.
        usable = [(w, tag if len(w) >= 3 and any(map(str.isalnum, w)) and w != "-LRB-" else "X") for w, tag in sentence]
        index = before
        for node in parser.parse(usable):
            length = 1 if isinstance(node, tuple) else len(node)
            if not isinstance(node, tuple) and length <= MAX_WORDS:
                expected.append((index, index + length))
            index += length
        before += len(sentence)

    text, tagger = tagged_text(sentences)
    words, spans = find_candidates(text, "en", "paper", tagger)
    assert words.texts == [word for sentence in sentences for word, _ in sentence]
    assert len(words.sentences) == len(sentences)
    assert [(start, end) for start, end in spans.tolist()] == expected


@pytest.mark.parametrize(
    ("text", "lang", "phrases"),
    [
        (
            "Der Gletscher bedroht das Dorf. Ein kalter Gletscher wächst langsam.",
            "de",
            ["Gletscher", "Dorf", "kalter Gletscher"],
        ),
        (
            "Forscherinnen warten auf Kund:innen und Nachbar*innen.",
            "de",
            ["Forscherinnen", "Kund:innen", "Nachbar*innen"],
        ),
        ("glacier alpin, document pertinent", "fr", ["glacier alpin", "document pertinent"]),
        (
            "Les glaciers alpins reculent car la chaleur estivale augmentait",
            "fr",
            ["glaciers alpins", "chaleur estivale"],
        ),
        ("un agent chimique, les agents polluent", "fr", ["agent chimique", "agents"]),
        # A word before an article or after a clitic is a verb, and so it is elsewhere.
        ("La balise code une position. Elle code.", "fr", ["balise", "position"]),
        ("La sonde se pose, le capteur mesure la neige", "fr", ["sonde", "capteur", "neige"]),
        ("une sonde enfouie par le vent glisse rapidement", "fr", ["sonde", "vent glisse"]),
        ("un petit capteur, le Petit Capteur", "fr", ["capteur", "Petit Capteur"]),
        # A term with "de" is one if it recurs.
        ("la fonte de neige, un capteur de neige", "fr", ["fonte", "neige", "capteur", "neige"]),
        (
            "la fonte de neige, une fonte de neige",
            "fr",
            ["fonte", "fonte de neige", "neige", "fonte", "fonte de neige", "neige"],
        ),
        ("l'étude de l'eau. L'étude de l’eau", "fr", ["étude", "eau", "étude", "eau"]),  # two apostrophes
        ("El sensor mide la nieve lentamente", "es", ["sensor", "nieve"]),
        ("permettons", "fr", ["permettons"]),  # a text with content words has phrases
        ("ヒートポンプは古い建物のガス暖房を置き換える。", "ja", ["ヒートポンプ", "建物", "ガス暖房"]),
        ("マリー・キュリー氏が3日に再生可能エネルギーの話をした。", "ja", ["マリー・キュリー", "再生可能エネルギー"]),
        ("暮らしを支える deep learning", "ja", ["暮らし", "deep learning"]),
        ("これはそれです。", "ja", []),
        # Tamil has no list of stop words: short words that recur are some.
        ("பனி ஒரு ஆறு. பனிப்பாறை ஒரு பெரும்பனிக்கட்டி", "ta", ["பனி", "ஆறு", "பனிப்பாறை", "பெரும்பனிக்கட்டி"]),
        ("Los glaciares alpinos alimentaban el valle", "es", ["glaciares alpinos", "valle"]),
        ("Os glaciares alpinos alimentavam o vale", "pt", ["glaciares alpinos", "vale"]),
        ("Il ghiacciaio alpino alimentava e alimentando la valle", "it", ["ghiacciaio alpino alimentava", "valle"]),
        ("Альпийский ледник питает горную реку", "ru", ["Альпийский ледник", "горную реку"]),
        ("빙하의 후퇴를 측정하는 위성은 하천을 관측한다.", "ko", ["빙하", "후퇴", "위성", "하천"]),
        ("해빙 속도와 기온을 비교하였다", "ko", ["해빙 속도", "기온"]),
        ("Les réseaux de neurones profonds, et 2009 graphes.", "fr", ["réseaux", "neurones profonds", "graphes"]),
        ("Das Netz ist ein neuronales Netz", "de", ["Netz", "neuronales Netz"]),
        ("x yz abc", "fr", ["abc"]),  # words of one or two letters do not count
        ("rouge vert bleu", "fr", ["rouge vert bleu"]),
        # A sequence of more than three words is cut into parts of one or two.
        (
            "rouge vert bleu gris",
            "fr",
            ["rouge", "rouge vert", "vert", "vert bleu", "bleu", "bleu gris", "gris"],
        ),
        ("关键词抽取是自然语言处理的方向", "zh_CN", ["关键词 抽取", "自然语言 处理", "方向"]),
        ("점 확산 함수 , 영상", "ko", ["점 확산 함수", "영상"]),
        ("", "fr", []),
        ("", "zh", []),
    ],
)
def test_other_languages_use_stop_words(text: str, lang: str, phrases: list[str]) -> None:
    for rule in ("paper", "extended"):
        words, spans = find_candidates(text, lang, rule, NO_TAGGER)
        assert [" ".join(words.texts[start:end]) for start, end in spans.tolist()] == phrases
        assert spans.shape == (len(phrases), 2)


@pytest.mark.parametrize("installed", [True, False])
def test_thai_with_and_without_a_tagger(installed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if installed:
        pytest.importorskip("pythainlp")
    else:
        monkeypatch.setattr("kpray.text.thai.find_spec", lambda name: None)
    has_thai_tagger.cache_clear()
    text = "แพทย์แนะนำอาหารสุขภาพ ธารน้ำแข็งละลาย"
    words, spans = find_candidates(text, "th", "extended", NO_TAGGER)
    has_thai_tagger.cache_clear()
    phrases = [text[words.spans[start][0] : words.spans[end - 1][1]] for start, end in spans.tolist()]
    assert phrases
    assert not any(" " in phrase for phrase in phrases)
    if installed:
        assert phrases[:2] == ["แพทย์", "อาหารสุขภาพ"]  # the verb between them is in none


def test_english_of_any_region_is_tagged() -> None:
    text, tagger = tagged_text([[("graph", "NN"), ("theory", "NN")]])
    _, spans = find_candidates(text, "en_US", "paper", tagger)
    assert spans.tolist() == [[0, 2]]


def test_unknown_language_is_rejected() -> None:
    with pytest.raises(RejectedDocument, match="'xx'"):
        find_candidates("graph theory", "xx", "paper", NO_TAGGER)


def phrases_of(text: str, tagger: Tagger) -> list[str]:
    words, spans = find_candidates(text, "en", "extended", tagger)
    return [text[words.spans[start][0] : words.spans[end - 1][1]] for start, end in spans.tolist()]


@pytest.mark.usefixtures("nltk_tagger")
@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("Farmers protest in South Dakota, e.g. against new Ohio rules.", ["Farmers", "South Dakota", "Ohio rules"]),
        ("She joined the U.S. Navy in Maine.", ["U.S. Navy", "Maine"]),
        ("A Cauchy–Schwarz bound.", ["Cauchy–Schwarz bound"]),
        ("The bacterium B. subtilis.", ["bacterium B. subtilis"]),
        ("ALL PASSENGERS MUST SHOW THE BOARDING PASS.", ["PASSENGERS", "BOARDING PASS"]),
        ("Coal Firms Threaten Solar Panel Makers", ["Coal Firms", "Solar Panel Makers"]),
        ("Nurses", ["Nurses"]),
        # The whole recurs, and its noun does not occur without it.
        (
            "The house voted. Special courts met. Special courts ruled.",
            ["house", "Special courts", "Special courts"],
        ),
        ("They buy children's toys. Most children's toys are red.", ["children's toys", "children's toys"]),
    ],
)
def test_phrases_of_ordinary_text(text: str, phrases: list[str]) -> None:
    assert phrases_of(text, load_tagger("nltk")) == phrases


@given(st.text(max_size=80))
def test_english_candidates_are_in_order_and_do_not_overlap(text: str) -> None:
    tagger = Tagger("nouns", one_by_one(lambda words: ["NN"] * len(words)))
    words, spans = find_candidates(text, "en", "extended", tagger)
    assert words == split_words(text)
    edges = spans.ravel().tolist()
    assert edges == sorted(edges)
    assert all(1 <= end - start <= MAX_WORDS for start, end in spans.tolist())


@given(st.text("bleu vert gris\n.", max_size=80))
def test_candidates_by_stop_words_are_in_order_and_unique(text: str) -> None:
    _, spans = find_candidates(text, "fr", "extended", NO_TAGGER)
    candidates = [(start, end) for start, end in spans.tolist()]
    assert candidates == sorted(set(candidates))
    assert all(1 <= end - start <= 3 for start, end in candidates)

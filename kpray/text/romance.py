"""French, Spanish, Portuguese and Italian: verbs and adverbs, and terms with "de" inside.

A verb is recognised by its ending and by the words next to it. A clitic ("se", "qui") is before a verb, an article is
before a noun or an adjective, and a noun is never directly before an article: in "le modèle utilise une grammaire",
"utilise" is a verb. What is a verb at one position of a document is a verb at the other ones.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from kpray.text.words import Words

#: A sequence of nouns and adjectives, then "de" with or without an article, then another one.
_TERM = re.compile(r"(?=((?:WW|(?<!W)W)d'?(?:l'?)?WW?))")


@dataclass(frozen=True, slots=True)
class Grammar:
    """Words and endings of one language.

    Attributes:
        verb: endings of finite verbs, infinitives and gerunds.
        adverb: endings of adverbs.
        participle: endings of participles.
        determiners: articles and the like, which are before a noun and never directly after one.
        prepositions: other words before a noun.
        clitics: words before a verb.
        agents: words after a participle that is a verb: "décrit par".
        of: words that join the nouns of a term, with or without an article in them.
        after_of: articles that may follow them.
        modifiers: adjectives before a noun that are no part of a term.
    """

    verb: re.Pattern[str]
    adverb: re.Pattern[str]
    participle: re.Pattern[str]
    determiners: frozenset[str]
    prepositions: frozenset[str]
    clitics: frozenset[str]
    agents: frozenset[str]
    of: frozenset[str]
    after_of: frozenset[str]
    modifiers: frozenset[str]


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


def _endings(listed: str) -> re.Pattern[str]:
    return re.compile(rf"\w{{2,}}(?:{listed})")


GRAMMARS = {
    "fr": Grammar(
        # Not the adjectives and nouns that look alike: récurrent, cohérent, intelligent, document, important, glacier.
        verb=_endings(
            r"(?<!m)(?<!urr)(?<!ér)(?<!rtin)(?<!équ)(?<!lat)(?<!val)(?<!ac)(?<!éc)(?<!rman)(?<!sci)(?<!ellig)(?<!ag)ent|"
            r"(?<!import)(?<!suiv)(?<!const)(?<!puiss)(?<!domin)(?<!viv)(?<!cour)(?<!redond)(?<!dist)ant|"
            r"ait|aient|[^i]ons|ez|era|eront|erait|eraient|[^i]er|ettre"
        ),
        # Not the nouns that look alike: élément, changement, comportement, renouvellement.
        adverb=_endings(r"(?:(?<!nouv)elle|ive|ique|aire|ale|euse|ière|able|ible|ibre|ide|[csd]é)ment|[ae]mment"),
        participle=_endings(r"ées?|és?|ies?|is|its?|us?|ues?|ites?"),
        determiners=_words("le la les l un une ce cet cette ces son sa ses leur leurs notre nos"),
        prepositions=_words("d de du des au aux"),
        clitics=_words("ne n se s il elle on ils elles qui nous vous je j y"),
        agents=_words("par"),
        of=_words("de d du des"),
        after_of=_words("la l le les"),
        modifiers=_words(
            """
            nouveau nouveaux nouvelle nouvelles nouvel grand grands grande grandes petit petits petite petites bon bons
            bonne bonnes meilleur meilleurs meilleure meilleures premier premiers première premières second seconde
            dernier derniers dernière dernières principal principale principales principaux différent différents
            différente différentes divers diverse diverses ancien ancienne anciens anciennes vrai vraie vrais véritable
            véritables gros grosse grosses futur future futurs futures actuel actuelle actuels actuelles seul seule
            """
        ),
    ),
    "es": Grammar(
        verb=_endings(
            r"aron|ieron|aban|arán|erán|irán|ando|iendo|[^aeiou]ó|amos|emos|imos|aba|aría|arían|ar|er|ir|arse"
        ),
        adverb=_endings("mente"),
        participle=_endings("[ai]d[oa]s?"),
        determiners=_words("el la los las un una unos unas este esta estos estas ese esa esos esas su sus"),
        prepositions=_words("de del al"),
        clitics=_words("se no nos ella ellos ellas"),
        agents=_words("por"),
        of=_words("de del"),
        after_of=_words("la el los las"),
        modifiers=_words(
            """
            nuevo nueva nuevos nuevas gran grande grandes pequeño pequeña pequeños pequeñas buen bueno buena buenos
            buenas mejor mejores primer primero primera primeros primeras segundo segunda último última últimos últimas
            principal principales diferente diferentes diverso diversos diversas antiguo antigua antiguos antiguas
            actual actuales
            """
        ),
    ),
    "pt": Grammar(
        verb=_endings(r"aram|eram|iram|avam|ará|arão|ando|endo|indo|ou|eu|iu|amos|emos|imos|ava|aria|ariam|ar|er|ir"),
        adverb=_endings("mente"),
        participle=_endings("[ai]d[oa]s?"),
        determiners=_words("o os um uma uns umas este esta estes estas esse essa esses essas seu sua seus suas"),
        prepositions=_words("a as do da dos das no na nos nas ao à aos às de"),
        clitics=_words("se não ele ela eles elas"),
        agents=_words("por pelo pela pelos pelas"),
        of=_words("de do da dos das"),
        after_of=_words(""),
        modifiers=_words(
            """
            novo nova novos novas grande grandes pequeno pequena pequenos pequenas bom boa bons boas melhor melhores
            primeiro primeira primeiros primeiras segundo segunda último última últimos últimas principal principais
            diferente diferentes diversos diversas vários várias próprio própria antigo antiga antigos antigas atual
            atuais
            """
        ),
    ),
    "it": Grammar(
        verb=_endings(r"arono|erono|irono|avano|evano|ando|endo|iamo|are|ere|ire|[^aeiou]ò"),
        adverb=_endings("mente"),
        participle=_endings("[aiu]t[oaei]"),
        determiners=_words("il lo la i gli le l un uno una questo questa questi queste"),
        prepositions=_words("del dello della dell dei degli delle al alla ai alle nel nella di d"),
        clitics=_words("non si ci"),
        agents=_words("da dal dallo dalla dai dagli dalle"),
        of=_words("di d del dello della dell dei degli delle"),
        after_of=_words(""),
        modifiers=_words(
            """
            nuovo nuova nuovi nuove grande grandi piccolo piccola piccoli piccole buon buono buona buoni buone migliore
            migliori primo prima primi prime secondo seconda ultimo ultima ultimi ultime principale principali diverso
            diversa diversi diverse antico antica antichi antiche attuale attuali
            """
        ),
    ),
}


def romance_letters(words: Words, content: list[bool], grammar: Grammar) -> str:
    """One letter for each word.

    W: a noun or an adjective. P: an adjective that is no part of a term. d: a word such as "de", l: an article that may
    follow it, ': the apostrophe of these two. x: any other word.
    """
    texts, lowered = words.texts, [word.lower() for word in words.texts]
    before = [_before(index, lowered) for index in range(len(lowered))]
    starts = set(words.sentences)
    nominal = {
        word
        for word, previous in zip(lowered, before, strict=True)
        if previous in grammar.determiners or previous in grammar.prepositions
    }
    nominal_or_name = nominal | {word for word, text in zip(lowered, texts, strict=True) if text[0].isupper()}
    verbs = {
        word
        for index, word in enumerate(lowered)
        if content[index]
        and word == texts[index]
        and word not in nominal
        and (before[index] in grammar.clitics or _before_determiner(index, lowered, starts, grammar))
    }
    letters = ""
    for index, (word, usable) in enumerate(zip(lowered, content, strict=True)):
        after = texts[index + 1] if index + 1 < len(texts) else "."
        if not usable:
            letters += _joint(index, lowered, grammar)
        elif (
            word in verbs
            or (word not in nominal_or_name and grammar.verb.fullmatch(word))
            or grammar.adverb.fullmatch(word)
            or (after in grammar.agents and grammar.participle.fullmatch(word))
        ):
            letters += "x"
        # "Grande Muraille" is a name, but each sentence starts with a capital.
        elif word in grammar.modifiers and (word == texts[index] or (index in starts and after == after.lower())):
            letters += "P"
        else:
            letters += "W"
    return letters


def recurring_terms(words: Words, letters: str) -> list[tuple[int, int]]:
    """Terms such as "recherche d'information" that the document has more than once.

    Args:
        words: the words of the document.
        letters: their letters, from `romance_letters`.
    """
    spans = [
        (first + match.start(1), first + match.end(1))
        for first, last in zip(words.sentences, [*words.sentences[1:], len(letters)], strict=False)
        for match in _TERM.finditer(letters[first:last])
    ]
    terms = [tuple(map(str.lower, words.texts[start:end])) for start, end in spans]
    counts = Counter(terms)
    return [span for span, term in zip(spans, terms, strict=True) if counts[term] > 1]


def _before(index: int, lowered: list[str]) -> str:
    """The word before, without the apostrophe between them."""
    if index and lowered[index - 1] in "'’":
        index -= 1
    return lowered[index - 1] if index else ""


def _before_determiner(index: int, lowered: list[str], starts: set[int], grammar: Grammar) -> bool:
    following = index + 1
    return following < len(lowered) and following not in starts and lowered[following] in grammar.determiners


def _joint(index: int, lowered: list[str], grammar: Grammar) -> str:
    word = lowered[index]
    if word in grammar.of:
        return "d"
    if word in grammar.after_of:
        return "l"
    joins = word in "'’" and index > 0 and (lowered[index - 1] in grammar.of or lowered[index - 1] in grammar.after_of)
    return "'" if joins else "x"

"""The two languages of the planted corpus: English, and an invented language with other words and another word order.

    English   the <modifier head> verb <modifier head> preposition <modifier head>.
    invented  <head modifier> ke <head+ur modifier+ur> postposition <head+en modifier+en> verb+et.

In the invented language the subject comes first, followed by a particle, and the verb comes last. Adpositions follow
their phrase, and modifiers follow their head. Objects have the ending -en, the phrases of adpositions -ur, and verbs
-et; subjects and single phrases have no ending. A root is two open syllables and a consonant, without `e`, so no form
of one word is a form of another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import NamedTuple, TypeVar

Value = TypeVar("Value")

#: Nouns by topic. Each English word occurs only once in this module.
TOPICS = tuple(
    tuple(words.split())
    for words in """
    orbit planet comet telescope galaxy nebula meteor crater eclipse asteroid satellite rocket
    astronaut gravity star moon supernova pulsar quasar equinox solstice zenith aurora corona;
    flour butter oven recipe sauce pepper vinegar onion garlic skillet whisk dough
    yeast honey cinnamon broth noodle omelet pastry ladle spatula marinade custard casserole;
    violin melody chorus drum trumpet rhythm tempo opera cello flute chord octave
    ballad piano guitar harmony sonata quartet clarinet soprano tenor metronome tuba lyric;
    fever vaccine surgeon artery tumor insulin kidney fracture antibody symptom stethoscope bandage
    clinic dosage allergy asthma lung spleen suture biopsy virus plasma migraine remission;
    sail rudder anchor mast keel harbor compass buoy lighthouse tide galley ferry
    captain sailor dock starboard hull rigging voyage cargo jetty reef schooner gangway;
    granite fault quartz sediment magma volcano basalt fossil erosion mineral glacier canyon
    limestone tremor crust mantle lava obsidian shale seam geyser ridge boulder slate;
    loom cotton thread needle wool silk weaver dye linen spindle fabric embroidery
    seamstress velvet knitting tapestry fiber yarn denim satin fleece pleat bobbin zipper;
    verdict jury statute lawyer contract plaintiff appeal witness testimony clause tribunal patent
    treaty warrant bail felony notary lawsuit prosecutor custody mediation subpoena copyright alimony;
    striker goalkeeper stadium referee tournament medal sprint marathon racket javelin hurdle relay
    coach athlete trophy penalty dribble wrestler gymnast league umpire pitcher serve scoreboard;
    locomotive freight platform signal sleeper carriage tunnel viaduct conductor timetable junction wagon
    track brake siding turntable coupling commuter gauge buffer depot overpass crossing boiler;
    blossom petal pollen stem root orchid fern moss seedling bark acorn tulip
    cactus nectar bulb sapling thorn vine chlorophyll spore lichen bamboo clover daisy;
    lion falcon otter badger antelope salmon beetle turtle penguin wolf heron lizard
    elephant dolphin hedgehog giraffe moth sparrow octopus zebra crocodile kangaroo hamster lobster;
    facade column vault balcony cornice pillar dome brick mortar gable staircase blueprint
    scaffold atrium courtyard rafter plaster chimney veranda lintel buttress mosaic skylight parapet;
    acid catalyst solvent polymer isotope electron ion crystal oxide enzyme titration molecule
    alkali beaker distillation reagent halogen ester methane copper sulfur carbon lithium nitrate;
    dividend mortgage broker bond equity auditor invoice inflation tariff ledger pension currency
    deficit interest creditor portfolio investor subsidy budget collateral insolvency deposit voucher hedge;
    lens shutter aperture tripod negative exposure darkroom flash portrait zoom viewfinder pixel
    contrast bokeh filter panorama enlarger vignette landscape backlight film print frame tint;
    thunder drizzle hurricane humidity barometer forecast blizzard breeze monsoon tornado frost cloud
    drought rainbow sleet hail fog lightning cyclone thermometer snowflake dew gust heatwave;
    tractor harvest barley plow silo orchard irrigation manure wheat cattle hay pasture
    fertilizer combine maize dairy greenhouse beehive vineyard poultry oats turnip scarecrow barn;
    actor rehearsal curtain comedy costume stage monologue prompter tragedy audience playwright spotlight
    puppet director libretto understudy backdrop usher applause mime farce prologue matinee props;
    circuit resistor diode capacitor antenna transistor solder voltage inductor amplifier battery sensor
    breadboard microchip oscillator transformer fuse keyboard cathode rectifier socket cable speaker receiver
    """.split(";")
)

#: Words of keyphrases. A keyphrase is a head, or a modifier and a head.
MODIFIERS = tuple(
    """
    adaptive annual automatic basic careful central digital early foreign gradual hidden hybrid internal joint linear
    local manual mobile modern natural optimal parallel private public random rapid regional robust sparse visual
    """.split()
)
HEADS = tuple(
    """
    analysis archive assessment catalog census comparison control design diagnosis education estimate exhibition
    guideline history inspection maintenance model network planning policy prediction protection repair research
    safety simulation standard survey training transport
    """.split()
)
#: The sentences of a passage use these in turn, so that they reveal nothing about its topic.
VERBS = ("presents", "describes", "compares", "improves", "supports", "limits", "replaces", "concludes")
PREPOSITIONS = ("for", "with", "under", "without")

ARTICLE, PRONOUN = "the", "it"
PARTICLE = "ke"
OBJECT, GOVERNED, VERB = "en", "ur", "et"  # endings
_CONSONANTS, _VOWELS = "bdfgklmnprstvz", "aiou"
_ROOT = (_CONSONANTS, _VOWELS, _CONSONANTS, _VOWELS, _CONSONANTS)

NounPhrase = tuple[str, ...]  # English words: a head, or modifiers and a head


class Sentence(NamedTuple):
    """The content of a sentence, in English words.

    Attributes:
        subject: subject; empty: a pronoun.
        object: object; may be empty.
        governed: phrase after a preposition; may be empty.
    """

    subject: NounPhrase
    object: NounPhrase
    governed: NounPhrase


def make_dictionary(random: Random) -> dict[str, str]:
    """Map each English word except the article to an invented root. Roots are unique and differ from all words here."""
    words = [word for topic in TOPICS for word in topic]
    words += [*MODIFIERS, *HEADS, *VERBS, *PREPOSITIONS, PRONOUN]
    taken = set(words)
    dictionary = {}
    for word in words:
        root = word
        while root in taken:
            root = "".join([letters[below(random, len(letters))] for letters in _ROOT])
        taken.add(root)
        dictionary[word] = root
    return dictionary


def translate(phrase: NounPhrase, dictionary: Mapping[str, str], ending: str = "") -> list[str]:
    """Translate a noun phrase into the invented language: the head comes first, each word has the ending."""
    return [dictionary[word] + ending for word in reversed(phrase)]


def write_english(sentences: Iterable[Sentence]) -> str:
    """Write a passage in English."""
    return " ".join([_capitalized(_english(sentence, index)) for index, sentence in enumerate(sentences)])


def write_invented(sentences: Iterable[Sentence], dictionary: Mapping[str, str]) -> str:
    """Write a passage in the invented language."""
    return " ".join([_capitalized(_invented(sentence, index, dictionary)) for index, sentence in enumerate(sentences)])


def _english(sentence: Sentence, index: int) -> list[str]:
    words = [ARTICLE, *sentence.subject] if sentence.subject else [PRONOUN]
    words.append(VERBS[index % len(VERBS)])
    words += sentence.object
    if sentence.governed:
        words += [PREPOSITIONS[index % len(PREPOSITIONS)], *sentence.governed]
    return words


def _invented(sentence: Sentence, index: int, dictionary: Mapping[str, str]) -> list[str]:
    words = [*translate(sentence.subject or (PRONOUN,), dictionary), PARTICLE]
    if sentence.governed:
        postposition = dictionary[PREPOSITIONS[index % len(PREPOSITIONS)]]
        words += [*translate(sentence.governed, dictionary, GOVERNED), postposition]
    words += translate(sentence.object, dictionary, OBJECT)
    return [*words, dictionary[VERBS[index % len(VERBS)]] + VERB]


def _capitalized(words: Sequence[str]) -> str:
    text = " ".join(words)
    return f"{text[0].upper()}{text[1:]}."


# Only `Random.random()` gives the same numbers in every version of Python, so the functions below use nothing else.


def below(random: Random, bound: int) -> int:
    """A random integer from 0 to bound - 1."""
    return int(random.random() * bound)


def shuffled(values: Iterable[Value], random: Random) -> list[Value]:
    """The values in a random order."""
    ordered = list(values)
    keys = [random.random() for _ in ordered]
    return [ordered[index] for index in sorted(range(len(ordered)), key=keys.__getitem__)]

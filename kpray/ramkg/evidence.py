"""Evidence of a generated phrase: the retrieved keyphrases without which it would be much less probable.

For a phrase p of the generated sequence and a keyphrase k in the generator's input x,

    gain(k, p) = log2 P(p | x, y) - log2 P(p | x without k, y)

y is what was generated before p. P(p | ...) is the product of the probabilities of the tokens of p; the separator or
end after them does not count, because its probability also says whether another phrase follows. A gain of 1 means that
p would be half as probable without k. Two keyphrases that say the same replace each other, so that both have low gains.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch

from kpray.batches import batches_by_length
from kpray.metrics.normalization import normalize, unique_phrases
from kpray.predictor import Evidence, Support
from kpray.ramkg.codemix import PROTOCOL, Marks
from kpray.ramkg.generator import BATCH_TOKENS, MIN_TOKENS, Generated, Generator, encode, target_log_probabilities

MIN_GAIN = 1.0
"""Minimum gain of a keyphrase that is evidence: the phrase would be at most half as probable without it."""
_DIGITS = 2  # gains are rounded, so that they do not depend on the last bits, which depend on the batch


def without_each(source: np.ndarray, marks: Marks) -> list[np.ndarray]:
    """The input of a document without one of its keyphrases and the [SEP] next to it, for each of them in turn.

    Args:
        source: from `CodeMixer.sources`, with [ENKPS] and [CTX].
        marks: ids of the separators.
    """
    [first], [last] = (np.flatnonzero(source == mark) for mark in (marks.enkps, marks.ctx))
    if last == first + 1:
        return []
    separators = (first + np.flatnonzero(source[first:last] == marks.sep)).tolist()
    # The first keyphrase leaves with the [SEP] after it, if there is one, and each other one with the [SEP] before it.
    cuts = [(first + 1, separators[0] + 1 if separators else last), *pairwise([*separators, last])]
    return [np.delete(source, slice(*cut)) for cut in cuts]


@torch.inference_mode()
def keyphrase_gains(
    generator: Generator,
    sources: Sequence[np.ndarray],
    langs: Sequence[str],
    generated: Sequence[Generated],
    batch_tokens: int | None = None,
) -> list[np.ndarray]:
    """Compute the gain of each keyphrase in a document's input for each phrase that was generated from it.

    Args:
        generator: the generator.
        sources: from `CodeMixer.sources`, with keyphrases.
        langs: language of each document.
        generated: the result of `Generator.sequences` for these documents.
        batch_tokens: maximum number of source tokens in a batch, padding included; None: the default for the model's
            device.

    Returns:
        For each document, float64 [keyphrases in the input, phrases].
    """
    model, mixer = generator.model, generator.mixer
    inputs = [[source, *without_each(source, mixer.marks)] for source in sources]
    rows = [(document, row) for document, several in enumerate(inputs) for row in several]
    starts = [mixer.frame(mixer.language(lang)).start for lang in langs]
    found = [np.zeros((len(several), len(each.phrases))) for several, each in zip(inputs, generated, strict=True)]
    first = np.cumsum([0, *map(len, inputs)])
    for batch in batches_by_length(
        [max(len(row), MIN_TOKENS) for _, row in rows], BATCH_TOKENS.choose(batch_tokens, model.device)
    ):
        documents = [rows[index][0] for index in batch]
        logs = target_log_probabilities(
            encode([rows[index][1] for index in batch], model, mixer.pad_id),
            [starts[document] for document in documents],
            [generated[document].ids for document in documents],
            model,
            mixer.pad_id,
        )
        for index, document, of_tokens in zip(batch, documents, logs, strict=True):
            spans = [phrase.span for phrase in generated[document].phrases]
            found[document][index - first[document]] = [math.fsum(of_tokens[start:end]) for start, end in spans]
    return [np.round((each[0] - each[1:]) / math.log(2), _DIGITS) for each in found]


def find_support(
    keyphrases: Sequence[str], gains: np.ndarray, generated: Generated, evidence: Sequence[Evidence]
) -> dict[str, tuple[Support, ...]]:
    """The evidence of each generated phrase of a document, by its text.

    Args:
        keyphrases: the retrieved keyphrases, from `CodeMixer.hints`; those that are not in the input are ignored.
        gains: [keyphrases in the input, phrases], from `keyphrase_gains`.
        generated: the phrases.
        evidence: the passages whose keyphrases these are.

    Returns:
        For each phrase the keyphrases with a gain of at least `MIN_GAIN`, highest gain first.
    """
    known = [set(unique_phrases(passage.keyphrases, "en", PROTOCOL.normalization)) for passage in evidence]
    names = [normalize(keyphrase, "en", PROTOCOL.normalization) for keyphrase in keyphrases]
    passages = [tuple(index for index, phrases in enumerate(known) if name in phrases) for name in names]
    found: dict[str, tuple[Support, ...]] = {}
    for phrase, of_phrase in zip(generated.phrases, gains.T.tolist(), strict=True):
        chosen = [
            Support(keyphrases[index], passages[index], gain)
            for index, gain in enumerate(of_phrase)
            if gain >= MIN_GAIN
        ]
        found[phrase.text] = tuple(sorted(chosen, key=lambda support: -support.gain))
    return found

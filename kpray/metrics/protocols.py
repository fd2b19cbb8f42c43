"""Evaluation protocols: all choices in the computation of a keyphrase score.

Published scores differ by protocol as much as by model. Therefore each protocol has a name, which is printed and stored
with every result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kpray.errors import UserError
from kpray.metrics.f1 import Cutoff

Normalization = Literal["lower_stem", "lower_strip_punctuation"]
Side = Literal["all", "present", "absent", "total"]

_ALL = 50  # number of keyphrases that covers `M` and `O` for almost all documents


@dataclass(frozen=True, slots=True)
class Protocol:
    """How predicted keyphrases are compared with gold keyphrases.

    In all protocols, phrases match if they are equal after normalization. Empty phrases and duplicates are dropped
    after normalization and before the cut at k; of duplicates the first is kept. Recall divides by the number of gold
    phrases. A document without any gold is skipped, and the report counts it as skipped.

    Attributes:
        name: key in `PROTOCOLS`.
        normalization: `lower_stem`: lower case, then each white-space-separated word is stemmed by the stemmer of the
            document's language (Porter for English); hyphenated words are one word. `lower_strip_punctuation`: lower
            case, ASCII punctuation deleted, white space collapsed, no stemming.
        gold: `shipped_stems`: the stems in the dataset, not stemmed again, or the normalized phrases if it has none;
            `phrases`: the normalized phrases.
        split: `none`: one score over all phrases. `stemmed_words`: present and absent phrases are scored separately.
            Gold and predicted phrases are split by the same rule: a phrase is present if the stems of its words occur
            consecutively in the document (`kpray.text.stems.contains_phrase`). `Keyphrase.present` is not used. The
            side `total` has both present and absent phrases.
        cutoffs: k of precision, recall and F1 at k; `M`: all predictions; `O`: the number of gold phrases.
        padding: divisor of precision at a number k if there are fewer than k predictions: `actual`, the number of
            predictions; `padded`, k. With both, there are two metrics, and the name of the second ends in `_padded`.
        macro: `mean_of_document_f1`: F1 is the mean of the documents' F1, all with the same weight. (Other code reports
            the F1 of mean precision and mean recall; it can be computed from these two means.)
        empty_gold: treatment of a document without gold on one side (present or absent): `skip`: the mean of that side
            leaves the document out; `zero`: the document counts 0.
        description: source of the protocol, in one or two sentences.
    """

    name: str
    normalization: Normalization
    gold: Literal["shipped_stems", "phrases"]
    split: Literal["none", "stemmed_words"]
    cutoffs: tuple[Cutoff, ...]
    padding: tuple[Literal["actual", "padded"], ...]
    macro: Literal["mean_of_document_f1"]
    empty_gold: Literal["skip", "zero"]
    description: str

    @property
    def sides(self) -> tuple[Side, ...]:
        """The sets of phrases that are scored separately."""
        return ("present", "absent", "total") if self.split == "stemmed_words" else ("all",)

    @property
    def top(self) -> int:
        """Number of keyphrases to predict for each document: the largest k, where `M` and `O` count as 50."""
        return max(_ALL if isinstance(cutoff, str) else cutoff for cutoff in self.cutoffs)


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="samrank",
            normalization="lower_stem",
            gold="shipped_stems",
            split="none",
            cutoffs=(5, 10, 15),
            padding=("actual",),
            macro="mean_of_document_f1",
            empty_gold="skip",
            description="SAMRank (Kang and Shin, EMNLP 2023) and its code: F1 at 5, 10 and 15 over all gold, absent "
            "phrases too.",
        ),
        Protocol(
            name="meng",
            normalization="lower_stem",
            gold="phrases",
            split="stemmed_words",
            cutoffs=(5, "M", "O"),
            padding=("actual", "padded"),
            macro="mean_of_document_f1",
            empty_gold="skip",
            description="KP20k family (Meng et al., ACL 2017; Yuan et al., ACL 2020), which the UniKeyphrase paper "
            "(Findings of ACL 2021) follows: present and absent apart, F1 at 5, at M and at O. Where a side has no "
            "gold, Meng's code leaves the document out of that side's mean, Chan's (ACL 2019) counts it 0. "
            "UniKeyphrase's own code sums matches over all documents instead (micro), which this is not.",
        ),
        Protocol(
            name="ramkg",
            normalization="lower_strip_punctuation",
            gold="phrases",
            split="none",
            cutoffs=("M",),
            padding=("actual",),
            macro="mean_of_document_f1",
            empty_gold="skip",
            description="RAMKG (Gao et al., Findings of NAACL 2022) and its code: precision, recall and F1 over all "
            "predictions. The mean over all documents is the paper's Average: each language weighs by its documents.",
        ),
    )
}


def get_protocol(name: str) -> Protocol:
    """Protocol by name.

    Raises:
        UserError: there is no such protocol; the message lists the names.
    """
    if name not in PROTOCOLS:
        raise UserError(f"there is no protocol {name!r}", where="protocol", fix=f"use one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]

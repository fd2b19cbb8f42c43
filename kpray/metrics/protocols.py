"""Protocols: everything about a keyphrase score that is not the model.

Published scores differ by protocol as much as by model, so a protocol is a value with a name, printed and stored with
every result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kpray.errors import UserError
from kpray.metrics.f1 import Cutoff

Normalization = Literal["lower_stem", "lower_strip_punctuation"]
Side = Literal["all", "present", "absent", "total"]

_ALL = 50  # keyphrases of a document: more than gold has, or a generator writes, but for rare documents


@dataclass(frozen=True, slots=True)
class Protocol:
    """How predicted keyphrases are held against gold ones.

    Common to all protocols: phrases match when they are equal after normalization; empty and repeated phrases are
    dropped after normalization (of repeats the first is kept), before the cut at k; recall divides by the number of
    gold phrases. A document that has no gold at all is skipped, and counted as skipped.

    Attributes:
        name: key in `PROTOCOLS`.
        normalization: `lower_stem`: lower case, then every white-space-separated word stemmed by the stemmer of the
            document's language (Porter for English), hyphenated words whole. `lower_strip_punctuation`: lower case,
            ASCII punctuation deleted, white space collapsed, no stemming.
        gold: `shipped_stems`: the stems that the data set ships, never stemmed again, else the normalized phrases;
            `phrases`: the normalized phrases.
        split: `none`: one score over all phrases. `stemmed_words`: present and absent phrases are scored apart, gold
            and predictions split by one rule: the stems of the phrase's words stand side by side in the document
            (`kpray.text.stems.contains_phrase`); what the predictor says of presence is not used. The side `total`
            holds both together.
        cutoffs: k of precision, recall and F1 at k; `M`: all predictions; `O`: as many as there are gold phrases.
        padding: what precision at a number k divides by when fewer than k are predicted: `actual`, their number;
            `padded`, k. With both, each is a metric of its own, the latter named `..._padded`.
        macro: `mean_of_document_f1`: every document counts alike, and F1 is the mean of the documents' F1. (F1 of mean
            precision and mean recall, which other code reports, can be had from the two means.)
        empty_gold: what a document counts on a side (present, absent) on which it has no gold: `skip`, it is left out
            of that side's mean; `zero`, it counts 0.
        description: where the protocol comes from, in a sentence or two.
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
        """The sets of phrases that are scored apart."""
        return ("present", "absent", "total") if self.split == "stemmed_words" else ("all",)

    @property
    def top(self) -> int:
        """How many keyphrases of a document a predictor should be asked for: the largest k, or 50 for `M` and `O`."""
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
    """The protocol of that name.

    Raises:
        UserError: when there is none; the message lists the names.
    """
    if name not in PROTOCOLS:
        raise UserError(f"there is no protocol {name!r}", where="protocol", fix=f"use one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]

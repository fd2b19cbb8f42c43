"""Configuration of SAMRank."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field
from typing_extensions import override

from kpray.errors import UserError
from kpray.log import say
from kpray.predictor_config import PredictorConfig
from kpray.pretrained import find_model, has_bfloat16, is_minilm
from kpray.samrank.bert_config import read_bert_config

Dtype = Literal["auto", "float32", "bfloat16", "float16", "float32/float16", "bfloat16/float16"]
_HEAD = re.compile(r"([1-9]\d*)-([1-9]\d*)")
_DEFAULT_HEADS = ("6-11", "5-5", "6-9", "4-10", "6-3", "6-5", "6-2", "6-4")
_HEADS_OF_MINILM = (_DEFAULT_HEADS, ("4-12",))  # the second: `--config samrank-paper`


def parse_head(head: str) -> tuple[int, int]:
    """Parse the paper's layer-head notation: `4-12`, counted from 1, is (3, 11), counted from 0.

    Raises:
        ValueError: `head` does not have that form.
    """
    match = _HEAD.fullmatch(head)
    if match is None:
        raise ValueError("a head is written as layer-head, both counted from 1, like 4-12")
    return int(match[1]) - 1, int(match[2]) - 1


def head_name(layer: int, head: int) -> str:
    """Inverse of `parse_head`."""
    return f"{layer + 1}-{head + 1}"


def check_heads(heads: tuple[tuple[int, int], ...], layers: int, heads_per_layer: int) -> None:
    """Check that a model has the given heads.

    Args:
        heads: (layer, head) pairs, counted from 0.
        layers: number of layers of the model.
        heads_per_layer: number of attention heads in each layer.

    Raises:
        UserError: the model lacks a head.
    """
    last = head_name(layers - 1, heads_per_layer - 1)
    for layer, head in heads:
        if layer >= layers or head >= heads_per_layer:
            raise UserError(
                f"the model has no head {head_name(layer, head)}",
                where="heads",
                fix=f"it has {layers} layers of {heads_per_layer} heads: choose from 1-1 to {last}",
            )


def _advice(model: str) -> str:
    """How to choose the heads of a model."""
    return f"choose heads with `kpray sweep heads --space.model {shlex.quote(model)} --valid FILE --output DIR`"


@cache  # one line in each process
def _warn(model: str) -> None:
    say("warning", f"warning: SAMRank's default heads belong to all-MiniLM-L6-v2, not to {model}: {_advice(model)}")


def _check_head(head: str) -> str:
    parse_head(head)
    return head


class SAMRankConfig(PredictorConfig):
    """SAMRank, an unsupervised extractor. `--config samrank-paper` gives all options the values of the paper."""

    model: str = "sentence-transformers/all-MiniLM-L6-v2"
    """Folder or hub id of a transformers model, such as BERT, XLM-RoBERTa, MPNet, DeBERTa, GPT-2 or Llama."""
    heads: Annotated[tuple[Annotated[str, AfterValidator(_check_head)], ...], Field(min_length=1)] = _DEFAULT_HEADS
    """Attention heads as layer-head pairs, counted from 1. The scores of several heads are divided by their maximum and
    averaged. The default heads were chosen for the default model: choose others with `kpray sweep heads`."""
    score: Literal["both", "global", "proportional"] = "both"
    """Score of a token: Eq. 6 (`both`), or one of its two parts (Table 4)."""
    redistribution: Literal["backward", "forward"] = "backward"
    """Direction in which the global score is redistributed (Table 5): to the tokens that attend to a token
    (`backward`), or to those that it attends to (`forward`)."""
    weighting: Literal["unit", "global"] = "global"
    """Weight that a token redistributes backward: 1 (`unit`, Eq. 4 of the paper) or its global score (`global`).
    Forward, it is always the global score."""
    candidates: Literal["paper", "extended"] = "extended"
    """Rule for English candidate phrases: EmbedRank's noun phrases (`paper`), or kpray's rule (`extended`), which keeps
    names and terms whole and treats spellings of one concept as one phrase. In other languages, `extended` ranks
    phrases that occur once lower."""
    position_scale: Annotated[float, Field(gt=0)] | None = 300.0
    """Scale of the position weight 1 / (1 + words / scale), where `words` is the number of words before the first
    occurrence of a phrase. If null, positions have no weight, as in the paper."""
    merge_stems: bool = True
    """Add the scores of phrases with the same stems. If false, each phrase is ranked separately, as in the paper."""
    tagger: Literal["auto", "nltk", "textblob"] = "auto"
    """Part-of-speech tagger for English. `auto` is NLTK's if its data is installed, and TextBlob's otherwise."""
    segment_tokens: Annotated[int, Field(ge=8)] | None = None
    """Maximum number of tokens in a segment of a long document. If null, the maximum of the model."""
    batch_tokens: Annotated[int, Field(ge=1)] | None = None
    """Maximum number of tokens in one forward pass, including padding. If null, 1,024 on a CPU and 65,536 on a GPU."""
    dtype: Dtype = "auto"
    """Floating-point format of the model. `auto` is float16 on a GPU. On a CPU it is bfloat16 for BERT models if the
    processor has instructions for it (AMX, AVX-512), and float32 otherwise. A job decides this once for all processes:
    `A/B` is A on a CPU and B on a GPU. Attention scores are always float32."""
    device: str = "auto"
    """Device of the model: `cpu`, `cuda`, `cuda:1`. `auto` uses a GPU if there is one."""

    @property
    def layer_heads(self) -> tuple[tuple[int, int], ...]:
        """The heads as (layer, head) pairs, counted from 0."""
        return tuple(parse_head(head) for head in self.heads)

    @property
    def pinned_dtype(self) -> Dtype:
        """`dtype`, or for `auto` what this machine chooses.

        Raises:
            UserError: the model cannot be copied to this machine.
        """
        if self.dtype != "auto":
            return self.dtype
        packed = has_bfloat16() and read_bert_config(Path(find_model(self.model))) is not None
        return "bfloat16/float16" if packed else "float32/float16"

    def check_heads(self, layers: int, heads_per_layer: int) -> None:
        """Check that the model has the heads. Warn if they are the default heads, which belong to another model.

        Args:
            layers: number of layers of the model.
            heads_per_layer: number of attention heads in each layer.

        Raises:
            UserError: the model lacks a head.
        """
        try:
            check_heads(self.layer_heads, layers, heads_per_layer)
        except UserError as error:
            if not self._heads_of_another_model():
                raise
            what = f"{error.what}; the default heads belong to all-MiniLM-L6-v2"
            raise UserError(what, where="heads", fix=_advice(self.model)) from None
        if self._heads_of_another_model():
            _warn(self.model)

    def _heads_of_another_model(self) -> bool:
        return self.heads in _HEADS_OF_MINILM and not is_minilm(self.model)

    @override
    def pinned(self) -> Self:
        from kpray.text.tagging import load_tagger

        if self._heads_of_another_model():  # on the user's terminal: Ray does not show the lines of workers
            _warn(self.model)
        return self.model_copy(update={"tagger": load_tagger(self.tagger).name, "dtype": self.pinned_dtype})

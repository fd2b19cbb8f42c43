"""The model: backbone (Sec. 3.1), stacked relation layers (Sec. 3.2), extraction and generation heads (Eq. 7-8).

Shape legend: B documents, T tokens of source and target (padded), S source tokens, N target rows, K beams or slots,
n new tokens of a beam, t tokens that a beam has emitted, H hidden size, V vocabulary, C labels.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from transformers import BertConfig, PreTrainedConfig
from transformers.models.bert.modeling_bert import BertModel, BertOnlyMLMHead, BertPreTrainedModel

from kpray.errors import UserError
from kpray.pretrained import UNILM_SEGMENTS, UNILM_SOURCE, UNILM_TARGET, load_pretrained
from kpray.unikeyphrase.backbone import (
    Pair,
    backbone_layers,
    padding_mask,
    run_layer,
    run_layers,
    slot_positions,
    step_layer,
    unilm_mask,
)
from kpray.unikeyphrase.cache import EmittedCache, SourceCache
from kpray.unikeyphrase.config import ModelConfig
from kpray.unikeyphrase.copying import CopyHead
from kpray.unikeyphrase.labels import LABELS
from kpray.unikeyphrase.relation import RelationLayer, one_head


class UniKeyphraseModelConfig(BertConfig):
    """Configuration of BERT, extended by the fields of UniKeyphrase, which `ModelConfig` describes."""

    model_type = "kpray-unikeyphrase"

    relation_layers: int = 2
    relation_mask: str = "backbone"
    relation_scale: str = "one"
    relation_dropout: float = 0.5
    source_tokens: int = 320
    target_tokens: int = 64
    extraction: bool = True
    copying: bool = False
    target: str = "absent"
    slots: int = 10
    source_segment: int = 0  #: segment id of [CLS] X [SEP]
    target_segment: int = 1  #: segment id of K [SEP]


class UniKeyphraseOutput(NamedTuple):
    """Logits of both tasks. It is a tuple, so that DeepSpeed and DistributedDataParallel find the tensors.

    Attributes:
        label_logits: [B, S, C], Eq. 7 before the softmax, for the source rows.
        token_logits: [N, V], Eq. 8 before the softmax, for the requested target rows. With `copying` the logarithms of
            the mixed probabilities.
    """

    label_logits: Tensor
    token_logits: Tensor


class UniKeyphraseModel(BertPreTrainedModel):
    """UniKeyphrase (Wu et al., 2021): https://aclanthology.org/2021.findings-acl.73.

    Its parameters are those of transformers' `BertForMaskedLM` (`bert.*`, `cls.predictions.*`), and
    `relation.{layer}.*` and `extraction.*`. Options add `copy_head.*` (`copying`) and `codes.*` (`target` set). An
    input sequence is [CLS] X [SEP] K [SEP], followed by padding.

    Attributes:
        new_parameters: names of the parameters that the backbone's checkpoint did not have.
        gradient_checkpointing: whether training keeps only each backbone layer's inputs for the backward pass.
    """

    config: UniKeyphraseModelConfig
    config_class = UniKeyphraseModelConfig
    _tied_weights_keys = {  # noqa: RUF012, as in transformers
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    }

    def __init__(self, config: UniKeyphraseModelConfig) -> None:
        super().__init__(config)
        self.gradient_checkpointing = False
        self.new_parameters: frozenset[str] = frozenset()
        self.bert = BertModel(config, add_pooling_layer=False)
        scale = 1.0 if config.relation_scale == "one" else config.hidden_size**-0.5
        self.relation = nn.ModuleList(
            RelationLayer(config.hidden_size, scale, config.relation_dropout, config.layer_norm_eps)
            for _ in range(config.relation_layers)
        )
        self.extraction = nn.Linear(config.hidden_size, len(LABELS))  # W_p, b_p of Eq. 7
        self.cls = BertOnlyMLMHead(config)  # Eq. 8
        self.copy_head = CopyHead(config.hidden_size) if config.copying else None
        self.codes = nn.Embedding(config.slots, config.hidden_size) if config.target == "set" else None
        self.post_init()  # type: ignore[no-untyped-call]

    def get_output_embeddings(self) -> nn.Module:
        """The output layer, whose weight is tied to the word embeddings."""
        return cast(nn.Module, self.cls.predictions.decoder)

    def forward(
        self,
        input_ids: Tensor,
        source_lengths: Tensor,
        lengths: Tensor,
        target_rows: Tensor,
        slots: Tensor | None = None,
    ) -> UniKeyphraseOutput:
        """Logits of full sequences, for training, extraction, and decoding without a cache.

        Args:
            input_ids: int64 [B, T].
            source_lengths: int64 [B], number of tokens of [CLS] X [SEP].
            lengths: int64 [B], number of tokens of [CLS] X [SEP] K [SEP].
            target_rows: int64 [N], indices into the flattened [B * T] of the rows that need token logits; N may be 0.
            slots: int64 [B, T], slot of each target row, -1 for other rows; None: the target is one sequence.
        """
        extraction, generation = self.represent(input_ids, source_lengths, lengths, slots)
        source_tokens = int(source_lengths.max())
        label_logits = self.extraction(extraction[:, :source_tokens])
        hidden = generation.flatten(0, 1).index_select(0, target_rows)
        token_logits = self.cls(hidden)
        if self.copy_head:
            source = self.copy_head.source(generation[:, :source_tokens], input_ids[:, :source_tokens], source_lengths)
            token_logits = self.copy_head(token_logits, hidden, source, target_rows // input_ids.shape[1])
        return UniKeyphraseOutput(label_logits, token_logits)

    def represent(
        self, input_ids: Tensor, source_lengths: Tensor, lengths: Tensor, slots: Tensor | None = None
    ) -> Pair:
        """Representations of the two tasks, P_L and A_L, [B, T, H] each; for the arguments see `forward`."""
        tokens = input_ids.shape[1]
        mask = unilm_mask(source_lengths, lengths, tokens, slots)
        relation_mask = mask if self.config.relation_mask == "backbone" else padding_mask(lengths, tokens)
        embedded = self._embed_sequences(input_ids, source_lengths, slots)
        hidden = run_layers(self.bert, embedded, mask, checkpointing=self.gradient_checkpointing)
        extraction, generation = hidden, hidden
        for layer in self.relation:
            extraction, generation = layer(extraction, generation, relation_mask)
        return extraction, generation

    def encode_source(self, input_ids: Tensor, source_lengths: Tensor) -> tuple[Tensor, SourceCache]:
        """Compute the rows of the source, for extraction and for all decoding steps.

        Args:
            input_ids: int64 [B, S].
            source_lengths: int64 [B].

        Returns:
            Label logits [B, S, C], and the cache for `decode_step`.

        Raises:
            ValueError: `relation_mask` is none, so source rows depend on the target; use `forward` and `full_step`.
        """
        if self.config.relation_mask != "backbone":
            raise ValueError("relation_mask none has no cache, because source rows depend on the target")
        mask = padding_mask(source_lengths, input_ids.shape[1])
        hidden = self._embed_sequences(input_ids, source_lengths)
        layers: list[Pair] = []
        for backbone_layer in backbone_layers(self.bert):
            hidden, pair = run_layer(backbone_layer, hidden, mask)
            layers.append(pair)
        extraction, generation = hidden, hidden
        relations: list[Pair] = []
        for layer in self._relation_layers():
            specific = layer.specialize(extraction, generation)
            relations.append(one_head(specific))
            extraction, generation = layer.relate(specific, mask)
        copied = self.copy_head.source(generation, input_ids, source_lengths) if self.copy_head else None
        return self.extraction(extraction), SourceCache(source_lengths, layers, relations, copied)

    def start(self, source: SourceCache) -> EmittedCache:
        """An empty cache with all slots of each document (`target` set), or with one beam; `reorder` makes K of it.

        Args:
            source: from `encode_source`.
        """
        beams = self.config.slots if self.codes else 1

        def nothing(rows: Tensor) -> Tensor:
            return rows[:, :, None, :0].expand(-1, -1, beams, -1, -1)

        layers = [(nothing(keys), nothing(values)) for keys, values in source.layers]
        relations = [(nothing(P), nothing(A)) for P, A in source.relations]
        return EmittedCache(0, layers, relations)

    def decode_step(
        self, source: SourceCache, emitted: EmittedCache, token_ids: Tensor | None, mask_id: int
    ) -> tuple[Tensor, EmittedCache]:
        """Log-probabilities of each beam's next token, as in `full_step`; only the last token and [MASK] are computed.

        Args:
            source: from `encode_source`; all beams of a document share it without copies.
            emitted: cache of the t tokens of each of K beams, from `start` or the last step, after `reorder`. With
                `target` set, beam k is slot k.
            token_ids: int64 [B, K], the tokens chosen after the last step; None in the first step.
            mask_id: id of [MASK].

        Returns:
            Log-probabilities, float32 [B, K, V], and the cache of t + 1 tokens, which includes `token_ids` (in the
            first step, the unchanged cache).
        """
        documents, beams = len(source.lengths_B), emitted.beams
        masks_BK1 = source.lengths_B.new_full((documents, beams, 1), mask_id)
        new_BKn = masks_BK1 if token_ids is None else torch.cat([token_ids[:, :, None], masks_BK1], dim=2)
        kept = emitted.tokens + new_BKn.shape[2] - 1  # the row of [MASK] is not kept
        source_mask_BS = torch.arange(source.tokens, device=new_BKn.device) < source.lengths_B[:, None]

        position_Bn = source.lengths_B[:, None] + torch.arange(emitted.tokens, kept + 1, device=new_BKn.device)
        position_BKn = position_Bn[:, None].expand_as(new_BKn)
        slot_BKn = torch.arange(beams, device=new_BKn.device)[:, None].expand_as(new_BKn)
        segment_BKn = torch.full_like(new_BKn, self.config.target_segment)
        rows = (part.flatten(0, 1) for part in (new_BKn, segment_BKn, position_BKn, slot_BKn))
        hidden = self._embed(*rows).reshape(documents, beams, new_BKn.shape[2], -1)
        layers: list[Pair] = []
        for backbone_layer, of_source, of_beams in zip(
            backbone_layers(self.bert), source.layers, emitted.layers, strict=True
        ):
            hidden, pair = step_layer(backbone_layer, hidden, of_source, of_beams, source_mask_BS)
            layers.append(pair)
        extraction, generation = hidden, hidden
        relations: list[Pair] = []
        for layer, of_source, of_beams in zip(
            self._relation_layers(), source.relations, emitted.relations, strict=True
        ):
            specific = layer.specialize(extraction, generation)
            (extraction, generation), pair = layer.step(specific, of_source, of_beams, source_mask_BS)
            relations.append(pair)

        def keep(pairs: list[Pair]) -> list[Pair]:
            return [(first[:, :, :, :kept], second[:, :, :, :kept]) for first, second in pairs]

        last = generation[:, :, -1]
        logits = self.cls(last)
        if self.copy_head and source.copied:
            owners = torch.arange(documents, device=new_BKn.device).repeat_interleave(beams)
            logits = self.copy_head(logits.flatten(0, 1), last.flatten(0, 1), source.copied, owners)
            logits = logits.unflatten(0, (documents, beams))
        return _log_softmax(logits), EmittedCache(kept, keep(layers), keep(relations))

    def full_step(self, input_ids: Tensor, source_lengths: Tensor, emitted: Tensor, mask_id: int) -> Tensor:
        """Log-probabilities of each beam's next token, by a forward pass over [CLS] X [SEP] emitted [MASK].

        This is the definition of decoding. `decode_step` gives the same result faster, but needs `relation_mask`
        backbone.

        Args:
            input_ids: int64 [B, S].
            source_lengths: int64 [B].
            emitted: int64 [B, K, t], the emitted tokens of each beam; t may be 0.
            mask_id: id of [MASK].

        Returns:
            Float32 [B, K, V].
        """
        documents, beams, kept = emitted.shape
        source_tokens = input_ids.shape[1]
        new_BKn = torch.cat([emitted, emitted.new_full((documents, beams, 1), mask_id)], dim=2)
        position_Bn = source_lengths[:, None] + torch.arange(kept + 1, device=emitted.device)
        ids_BKT = input_ids.new_zeros(documents, beams, source_tokens + kept + 1)
        ids_BKT[:, :, :source_tokens] = input_ids[:, None]
        ids_BKT.scatter_(2, position_Bn[:, None].expand_as(new_BKn), new_BKn)  # directly after the source's last token
        lengths_BK = (source_lengths + kept + 1).repeat_interleave(beams)
        first_row_BK = torch.arange(documents * beams, device=emitted.device) * ids_BKT.shape[2]
        output = self(
            ids_BKT.flatten(0, 1),
            source_lengths.repeat_interleave(beams),
            lengths_BK,
            first_row_BK + lengths_BK - 1,
        )
        return _log_softmax(output.token_logits).reshape(documents, beams, -1)

    def _embed_sequences(self, input_ids: Tensor, source_lengths: Tensor, slots: Tensor | None = None) -> Tensor:
        positions = torch.arange(input_ids.shape[1], device=input_ids.device).expand_as(input_ids)
        segments = torch.where(
            positions < source_lengths[:, None], self.config.source_segment, self.config.target_segment
        )
        if slots is not None:
            positions = slot_positions(source_lengths, slots)
        return self._embed(input_ids, segments, positions, slots)

    def _embed(self, input_ids: Tensor, segments: Tensor, positions: Tensor, slots: Tensor | None) -> Tensor:
        """Embeddings of rows, [..., T] to [..., T, H]. With `target` set, the code of its slot is added to a token."""
        words = self.bert.embeddings.word_embeddings(input_ids)
        if self.codes and slots is not None:
            words = words + self.codes(slots.clamp(min=0)).masked_fill((slots < 0)[:, :, None], 0)
        embedded: Tensor = self.bert.embeddings(token_type_ids=segments, position_ids=positions, inputs_embeds=words)
        return embedded

    def _relation_layers(self) -> list[RelationLayer]:
        return cast(list[RelationLayer], list(self.relation))


def from_backbone(config: ModelConfig) -> UniKeyphraseModel:
    """Build a UniKeyphrase from a pretrained model of BERT type: UniLM v1, BERT, MiniLM, or a UniKeyphrase.

    Parameters that the checkpoint lacks (relation layers, the extraction head, and the LM head if it was not published)
    are initialized as in BERT: weights are normal with the checkpoint's `initializer_range` (0.02), biases are 0. They
    depend on torch's global seed. Weights are read only from safetensors.

    Returns:
        The model in float32, on the CPU, in evaluation mode.

    Raises:
        UserError: the checkpoint does not exist, is of another type, lacks weights, or has too few positions.
    """
    model, report = load_pretrained(
        UniKeyphraseModel,
        config.backbone,
        config=_describe(config),
        dtype=torch.float32,
        use_safetensors=True,
        ignore_mismatched_sizes=True,  # reported below
        output_loading_info=True,
    )
    if report["mismatched_keys"]:
        raise UserError(
            f"the weight {min(report['mismatched_keys'])[0]} of {config.backbone!r} has another shape than its "
            "config.json says",
            where="model.backbone",
            fix="use weights and config.json of the same model",
        )
    missing = set(report["missing_keys"])
    new = ["relation.", "extraction.", "copy_head.", "codes."]
    if {name for name, _ in model.named_parameters() if name.startswith("cls.")} <= missing:
        new.append("cls.")  # the checkpoint has no LM head
    missing = {name for name in missing if not name.startswith(tuple(new))}
    if missing:
        raise UserError(
            f"{config.backbone!r} lacks {len(missing)} weights of its backbone, such as {min(missing)}",
            where="model.backbone",
            fix="choose a model of BERT type",
        )
    found = cast(UniKeyphraseModel, model)
    found.new_parameters = frozenset(report["missing_keys"])
    return found


def _describe(config: ModelConfig) -> UniKeyphraseModelConfig:
    """Combine a checkpoint's config.json with the settings."""
    where, fix = "model.backbone", "choose a model of BERT type"
    found = load_pretrained(PreTrainedConfig, config.backbone)
    if found.model_type not in ("", "bert", "unilm", UniKeyphraseModelConfig.model_type):  # old files have no type
        raise UserError(f"{config.backbone!r} is a model of type {found.model_type}", where=where, fix=fix)
    if not hasattr(found, "hidden_size"):  # transformers treats a missing config.json as an empty one
        raise UserError(f"{config.backbone!r} has no config.json with a hidden_size", where=where, fix=fix)
    if getattr(found, "position_embedding_type", "absolute") != "absolute":
        raise UserError(f"{config.backbone!r} has relative positions", where=where, fix=fix)
    names = set(BertConfig.__annotations__) - {"is_decoder", "add_cross_attention", "tie_word_embeddings"}
    described = UniKeyphraseModelConfig(
        **{name: value for name, value in found.to_dict().items() if name in names},
        **config.model_dump(include=set(UniKeyphraseModelConfig.__annotations__)),
    )
    described.hidden_dropout_prob = config.dropout
    described.attention_probs_dropout_prob = config.attention_dropout
    segments = described.type_vocab_size
    source, target = (UNILM_SOURCE, UNILM_TARGET) if segments == UNILM_SEGMENTS else (0, min(1, segments - 1))
    described.source_segment = _segment(found, "source", source)
    described.target_segment = _segment(found, "target", target)
    if not {described.source_segment, described.target_segment} <= set(range(segments)):
        raise UserError(
            f"{config.backbone!r} has {segments} segment types, and its config.json names others",
            where=where,
            fix="correct source_type_id and target_type_id in its config.json",
        )
    if config.source_tokens + config.target_tokens > described.max_position_embeddings:
        raise UserError(
            f"{config.source_tokens} + {config.target_tokens} tokens exceed the {described.max_position_embeddings} "
            f"positions of {config.backbone!r}",
            where="model.source_tokens, model.target_tokens",
            fix="lower one of them",
        )
    return described


def _segment(found: PreTrainedConfig, part: str, default: int) -> int:
    """Segment id of `source` or `target` that a config.json of UniLM or of a trained UniKeyphrase names."""
    segment: int = getattr(found, f"{part}_segment", getattr(found, f"{part}_type_id", default))
    return segment


def _log_softmax(logits: Tensor) -> Tensor:
    return logits.log_softmax(dim=-1, dtype=torch.promote_types(logits.dtype, torch.float32))

"""The generator (Sec. 4.2): keyphrases by beam search; a batch may have documents of several languages.

Shape legend: B documents, S source tokens (padded), P start tokens of the decoder, T target tokens (padded),
N target tokens of all documents without padding, H hidden size, V vocabulary.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from kpray.batches import BatchTokens, batches_by_length
from kpray.errors import UserError
from kpray.metrics.normalization import normalize
from kpray.pretrained import choose_device, choose_dtype, find_model, load_pretrained, save_model
from kpray.ramkg.beams import ModelSteps, beam_search, share_sources
from kpray.ramkg.codemix import PROTOCOL, CodeMixer, load_mixer
from kpray.ramkg.config import GENERATOR_FILE, GenerateConfig, GeneratorConfig
from kpray.settings import validate_settings
from kpray.text.generated import split_target
from kpray.training import unwrap

BATCH_TOKENS = BatchTokens(cpu=4096, gpu=16_384)
# A short document counts as this many tokens: its beams' log-probabilities over the vocabulary take as much memory.
MIN_TOKENS = 128
_SCORED_TOKENS = 1024  # maximum number of target tokens whose probabilities over the vocabulary are in memory
_DIGITS = 5  # scores are rounded, so that ranks do not depend on the last bits, which depend on the batch


class Phrase(NamedTuple):
    """A generated phrase.

    Attributes:
        text: the phrase.
        score: in [0, 1].
        span: start and end of its tokens in the generated sequence.
    """

    text: str
    score: float
    span: tuple[int, int]


class Generated(NamedTuple):
    """The generated sequence of a document.

    Attributes:
        ids: token ids without start tokens, with the end token unless the sequence was cut.
        phrases: its phrases, best first; scores never increase along the list.
    """

    ids: list[int]
    phrases: list[Phrase]

    @property
    def scored(self) -> list[tuple[str, float]]:
        """Text and score of each phrase."""
        return [(phrase.text, phrase.score) for phrase in self.phrases]


class Generator:
    """A trained generator.

    Attributes:
        model: a sequence-to-sequence model of transformers.
        mixer: makes the inputs of the model (`CodeMixer.language`, `CodeMixer.sources`).
        search: configuration of beam search.
    """

    def __init__(self, model: Any, mixer: CodeMixer, search: GenerateConfig) -> None:
        self.model, self.mixer, self.search = model.eval(), mixer, search

    def generate(
        self, sources: Sequence[np.ndarray], langs: Sequence[str], batch_tokens: int | None = None
    ) -> list[list[tuple[str, float]]]:
        """Generate the keyphrases of documents.

        Args:
            sources: from `CodeMixer.sources`, int32 [S] each.
            langs: language of each document.
            batch_tokens: maximum number of source tokens in a batch, padding included; None: the default for the
                model's device.

        Returns:
            For each document (phrase, score) pairs, best first. Scores are in [0, 1] and never increase along the list.

        Raises:
            UserError: the model has language tokens, but none for one of the languages.
        """
        return [each.scored for each in self.sequences(sources, langs, batch_tokens)]

    def sequences(
        self, sources: Sequence[np.ndarray], langs: Sequence[str], batch_tokens: int | None = None
    ) -> list[Generated]:
        """Like `generate`, with the token ids."""
        languages = [self.mixer.language(lang) for lang in langs]
        return generate_sequences(self.model, self.mixer, sources, languages, self.search, batch_tokens)

    def save(self, folder: Path) -> None:
        """Write a folder for `open_generator`."""
        save_generator(self.model, self.mixer, folder)


def open_generator(
    name: str, search: GenerateConfig | None = None, *, dtype: str = "auto", device: str = "auto"
) -> Generator:
    """Open a trained generator.

    Args:
        name: folder or hub id.
        search: configuration of beam search; None: the defaults, which are those of the paper.
        dtype: `float32`, `bfloat16`, `float16`; `auto`: float16 on a GPU, float32 on a CPU.
        device: `cpu`, `cuda`, `cuda:1`; `auto`: a GPU if there is one.

    Raises:
        UserError: the model cannot be loaded, is incomplete, or is not a generator; or the device does not exist.
    """
    from transformers.utils.hub import cached_file

    try:
        saved = json.loads(Path(str(cached_file(find_model(name), GENERATOR_FILE))).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"{name!r} is not a generator: it has no valid {GENERATOR_FILE}",
            where="model",
            fix="give a folder that training wrote",
        ) from error
    config = validate_settings(GeneratorConfig, {**saved, "backbone": name}, where=f"{name}/{GENERATOR_FILE}")
    chosen = choose_device(device)
    mixer = load_mixer(config)
    model = load_model(mixer, choose_dtype(dtype, chosen))
    return Generator(model.to(chosen), mixer, search or GenerateConfig())


def save_generator(model: Any, mixer: CodeMixer, folder: Path) -> None:
    """Write a folder for `open_generator`: the model, its tokenizer, and `generator.json`."""
    save_model(model, folder)
    mixer.tokenizer.save_pretrained(folder)
    (folder / GENERATOR_FILE).write_text(mixer.config.model_dump_json(indent=2) + "\n", encoding="utf-8")


def load_model(mixer: CodeMixer, dtype: torch.dtype = torch.float32) -> Any:
    """Load the model `mixer.config.backbone`, with embeddings for all tokens of the mixer.

    New embeddings are initialized like the others in this architecture, from torch's global seed. Weights are read only
    from safetensors.

    Returns:
        A transformers model, on the CPU, in evaluation mode.

    Raises:
        UserError: the model cannot be loaded, is incomplete, or its vocabulary cannot be extended.
    """
    from transformers import AutoModelForSeq2SeqLM, GenerationConfig
    from transformers.utils import logging

    name = mixer.config.backbone
    model, loading = load_pretrained(
        AutoModelForSeq2SeqLM, name, dtype=dtype, use_safetensors=True, output_loading_info=True
    )
    lacking = sorted(loading["missing_keys"])
    if lacking:  # transformers would use random weights instead
        raise UserError(
            f"{name!r} lacks {len(lacking)} weights, such as {lacking[0]}",
            where="backbone",
            fix="choose a complete sequence-to-sequence model",
        )
    if len(mixer) > model.get_input_embeddings().num_embeddings:
        verbosity = logging.get_verbosity()
        logging.set_verbosity_error()  # without its advice on the size
        try:
            model.resize_token_embeddings(len(mixer), mean_resizing=False)
        except NotImplementedError as error:
            raise UserError(
                f"the vocabulary of {name!r} cannot be extended",
                where="backbone",
                fix="choose a model such as mBART or mT5",
            ) from error
        finally:
            logging.set_verbosity(verbosity)
    model.generation_config = GenerationConfig()  # drops the model's defaults (forced tokens, beams)
    share_sources(model)
    return model.eval()


def target_logits(model: nn.Module, target_rows_N: Tensor, **inputs: Any) -> Tensor:
    """Compute the logits of the target tokens, without those of padding.

    Args:
        model: a sequence-to-sequence model of transformers, possibly wrapped; only its forward is called.
        target_rows_N: int64 [N], indices into the flattened `decoder_input_ids` of the tokens *before* the targets.
        inputs: arguments of the forward: `attention_mask` bool [B, S], `decoder_input_ids` int64 [B, T], and
            `input_ids` int64 [B, S] or `encoder_outputs`.

    Returns:
        Logits, float32 [N, V].
    """
    with _rows_only(unwrap(model, PreTrainedModel).get_output_embeddings(), target_rows_N):
        logits_NV: Tensor = model(**inputs, use_cache=False).logits
    return logits_NV.float()


@contextmanager
def _rows_only(output_layer: nn.Module, rows_N: Tensor) -> Iterator[None]:
    """Apply the output layer, which is costly for a large vocabulary, only to N rows of its input [B, T, H]."""
    hook = output_layer.register_forward_pre_hook(lambda _, inputs: (inputs[0].flatten(0, 1)[rows_N], *inputs[1:]))
    try:
        yield
    finally:
        hook.remove()


def generate_sequences(
    model: Any,
    mixer: CodeMixer,
    sources: Sequence[np.ndarray],
    languages: Sequence[int],
    search: GenerateConfig,
    batch_tokens: int | None = None,
) -> list[Generated]:
    """`Generator.sequences` for a model in evaluation mode; `languages` are ids from `CodeMixer.language`."""
    batch_tokens = BATCH_TOKENS.choose(batch_tokens, model.device)
    starts = [mixer.frame(language).start for language in languages]
    forbidden = [*mixer.forbidden, *range(len(mixer), model.get_input_embeddings().num_embeddings)]
    found: dict[int, Generated] = {}
    with torch.no_grad():
        for group in _equal_starts(starts):
            lengths = [max(len(sources[index]), MIN_TOKENS) for index in group]
            for members in batches_by_length(lengths, batch_tokens):
                batch = [group[member] for member in members]
                steps = ModelSteps(
                    model,
                    encode([sources[index] for index in batch], model, mixer.pad_id),
                    [starts[index] for index in batch],
                    forbidden,
                )
                targets = beam_search(
                    steps, beams=search.beams, target_tokens=mixer.config.target_tokens, end_id=mixer.marks.end
                )
                for index, target in zip(batch, targets, strict=True):
                    found[index] = Generated(target.ids, _phrases(*target, mixer))
    return [found[index] for index in range(len(sources))]


def _equal_starts(starts: Sequence[Sequence[int]]) -> list[list[int]]:
    """Groups of documents with the same number of start tokens, as indices. Most tokenizers have one group."""
    return [
        [index for index, start in enumerate(starts) if len(start) == length] for length in sorted({*map(len, starts)})
    ]


def _phrases(ids: Sequence[int], probabilities: Sequence[float], mixer: CodeMixer) -> list[Phrase]:
    """Phrases of a generated sequence; of duplicates under the protocol, the first."""
    phrases: dict[str, Phrase] = {}
    end = 0
    for phrase, score in split_target(ids, probabilities, [mixer.marks.sep], mixer.marks.end):
        start = next(index for index in range(end, len(ids)) if ids[index] != mixer.marks.sep)
        end = start + len(phrase)
        text = mixer.decode(phrase)
        found = Phrase(text, round(score, _DIGITS), (start, end))
        phrases.setdefault(normalize(text, "en", PROTOCOL.normalization), found)
    phrases.pop("", None)
    return list(phrases.values())


def encode(sources: Sequence[np.ndarray], model: Any, pad_id: int) -> tuple[Tensor, Tensor]:
    """Run the encoder: hidden states [B, S, H], and their mask, bool [B, S], False for padding."""
    ids = [torch.from_numpy(source.astype(np.int64)) for source in sources]
    ids_BS = pad_sequence(ids, batch_first=True, padding_value=pad_id).to(model.device)
    lengths_B = torch.tensor([len(source) for source in sources])
    mask_BS = (torch.arange(ids_BS.shape[1]) < lengths_B[:, None]).to(model.device)
    return model.get_encoder()(input_ids=ids_BS, attention_mask=mask_BS)[0], mask_BS


def target_log_probabilities(
    encoded: tuple[Tensor, Tensor],
    starts: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
    model: Any,
    pad_id: int,
) -> list[list[float]]:
    """Log-probability of each token given the tokens before it, for each target; `encoded` is from `encode`."""
    from transformers.modeling_outputs import BaseModelOutput

    found: dict[int, list[float]] = {}
    for part in batches_by_length([len(target) for target in targets], _SCORED_TOKENS):
        batch = collate_targets([targets[index] for index in part], [starts[index] for index in part], pad_id)
        logits_NV = target_logits(
            model,
            batch["target_rows"].to(model.device),
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded[0][part]),
            attention_mask=encoded[1][part],
            decoder_input_ids=batch["decoder_input_ids"].to(model.device),
        )
        chosen_N1 = logits_NV.gather(1, batch["target_ids"].to(model.device)[:, None])
        values = (chosen_N1.squeeze(1) - logits_NV.logsumexp(dim=1)).tolist()
        for index in part:
            found[index], values = values[: len(targets[index])], values[len(targets[index]) :]
    return [found[index] for index in range(len(targets))]


def collate_targets(
    targets: Sequence[Sequence[int] | np.ndarray], starts: Sequence[Sequence[int]], pad_id: int
) -> dict[str, Tensor]:
    """Make a batch of decoder inputs and targets.

    Args:
        targets: target ids of each document, with the end token, [T] each.
        starts: start tokens of the decoder for each document, [P] each.
        pad_id: id of padding.

    Returns:
        `decoder_input_ids` int64 [B, P + T - 1]; `target_rows` int64 [N], indices into the flattened
        `decoder_input_ids` of the tokens before the targets; `target_ids` int64 [N].
    """
    wanted = [torch.from_numpy(np.asarray(target, dtype=np.int64)) for target in targets]
    inputs = [torch.cat([torch.tensor(start), target[:-1]]) for start, target in zip(starts, wanted, strict=True)]
    decoder_input_ids = pad_sequence(inputs, batch_first=True, padding_value=pad_id)
    rows = [
        torch.arange(len(start) - 1, len(ids)) + row * decoder_input_ids.shape[1]
        for row, (start, ids) in enumerate(zip(starts, inputs, strict=True))
    ]
    return {
        "decoder_input_ids": decoder_input_ids,
        "target_rows": torch.cat(rows),
        "target_ids": torch.cat(wanted),
    }

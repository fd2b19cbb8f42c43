"""Fig. 5 and 6 of SAMRank: the self-attention map of a head over a document, and the token scores that follow from it.

python benchmarks/run.py attention_map --input abstract.txt --output map.svg
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from transformers import AutoModel

from benchmarks.settings import AttentionMapSettings
from kpray.cluster.job import writing
from kpray.corpus.records import Reject, read_records
from kpray.errors import UserError
from kpray.pretrained import load_pretrained
from kpray.report.figures import INK, colour_axes, new_figure, write_figure
from kpray.samrank.predictor import SAMRank, share_of_best

_WIDTH, _DPI, _MAP = 12.0, 100, "viridis"
_POINTS = 0.75 * 72 * _WIDTH  # for the labels of all tokens


def draw_attention_map(job: AttentionMapSettings) -> None:
    """Draw the map of the first head in `samrank.heads` over the first document.

    Raises:
        UserError: there is no readable document, it is longer than the model's limit, or the file cannot be written.
    """
    record = next((record for record in read_records(job.input) if not isinstance(record, Reject)), None)
    if record is None:
        raise UserError("no document can be read", where=", ".join(job.input))
    samrank = SAMRank(job.samrank.model_copy(update={"heads": job.samrank.heads[:1]}))
    tokens, weights, scores = attention_map(samrank, record.document.text)
    with writing(job.output):
        _draw(tokens, weights, scores, f"head {job.samrank.heads[0]} of {Path(job.samrank.model).name}", job.output)


def attention_map(samrank: SAMRank, text: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Attention weights of the only head of a predictor, from transformers' own eager attention.

    Returns:
        The tokens, special ones included; float32 [tokens, tokens], row i is the attention from token i; and float64
        [tokens], the token scores (Eq. 6) as shares of the best one, 0 for special tokens.

    Raises:
        UserError: the text is longer than the model's limit.
    """
    [(layer, head)] = samrank.config.layer_heads
    plain = samrank.tokenizer.encode(text, add_special_tokens=False)
    ids = np.array([*samrank.prefix, *plain.ids, *samrank.suffix], dtype=np.int64)
    if len(ids) > samrank.segment_tokens:
        fix = f"cut it to {samrank.segment_tokens} tokens"
        raise UserError(f"the document has {len(ids)} tokens, more than the model reads at once", fix=fix)
    model = load_pretrained(AutoModel, samrank.config.model, attn_implementation="eager", use_safetensors=True).eval()
    with torch.inference_mode():
        found = model(torch.from_numpy(ids)[None], output_attentions=True).attentions
    weights: np.ndarray = found[layer][0, head].float().numpy()
    scores = share_of_best(samrank.token_scores(samrank.score_segments([ids])))[0]
    special = (len(samrank.prefix), len(samrank.suffix))
    tokens = [str(samrank.tokenizer.id_to_token(token)).lstrip("Ġ▁") for token in ids.tolist()]  # marks of a space
    return tokens, weights, np.pad(scores, special)


def _draw(tokens: list[str], weights: np.ndarray, scores: np.ndarray, title: str, path: Path) -> None:
    figure = new_figure((_WIDTH, _WIDTH), _DPI)
    strip, square = figure.subplots(2, 1, sharex=True, height_ratios=(1, 24))
    size = min(9.0, _POINTS / len(tokens))
    for axes, values in ((strip, scores[None]), (square, weights)):
        colour_axes(axes)
        axes.pcolormesh(values, cmap=_MAP, vmin=0.0)
        axes.tick_params(length=0, labelsize=size)
    middles = np.arange(len(tokens)) + 0.5
    square.set_xticks(middles, tokens, rotation=90)
    square.set_yticks(middles, tokens)
    square.invert_yaxis()
    square.set_xlabel("is attended to")
    square.set_ylabel("attends")
    strip.set_yticks([])
    strip.tick_params(labelbottom=False)
    strip.set_title(f"Scores of the tokens, and the attention map: {title}", fontsize=11, loc="left", color=INK)
    write_figure(figure, path)

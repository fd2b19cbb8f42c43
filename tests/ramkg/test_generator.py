"""Generation does not depend on the batch, and its scores agree with transformers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GenerationConfig, PreTrainedModel

from kpray.errors import UserError
from kpray.ramkg.codemix import CodeMixer, load_mixer
from kpray.ramkg.config import GenerateConfig
from kpray.ramkg.generator import (
    Generator,
    collate_targets,
    load_model,
    open_generator,
    save_generator,
    target_logits,
)
from kpray.training import unwrap
from tests.ramkg.tiny_generator import (
    KINDS,
    RECORDS,
    load_tokenizer,
    make_config,
    make_task,
    save_backbone,
    save_plain_tokenizer,
    train,
)

MakeGenerator = Callable[..., Generator]

TEXTS = [*(record.document.text for record in RECORDS), "el aprendizaje", "le reti neurali", "tiefe Netze lernen"]
LANGS = ["de", "fr", "zh", "ko", "es", "it", "de"]
ENGLISH = [["graph theory"], ["deep learning", "networks"], ["corpora"], ["machine translation"], [], ["networks"], []]


@pytest.fixture(scope="module")
def models(seq2seq: dict[str, str], english: Path) -> dict[str, Any]:
    """A model of each kind that has memorized some of the texts, with other English keyphrases."""
    return {kind: train(make_task(seq2seq[kind], english), steps=60) for kind in KINDS}


@pytest.fixture(scope="module")
def generators(seq2seq: dict[str, str], models: dict[str, Any]) -> MakeGenerator:
    """A generator of a kind: `generators("t5", beams=3)`."""
    return lambda kind, beams=3: Generator(
        models[kind], load_mixer(make_config(seq2seq[kind])), GenerateConfig(beams=beams)
    )


def sources(mixer: CodeMixer) -> list[np.ndarray]:
    found = mixer.sources(TEXTS, [mixer.language(lang) for lang in LANGS], ENGLISH)
    assert all(isinstance(source, np.ndarray) for source in found)
    return found  # type: ignore[return-value]


def assert_same(one: list[list[tuple[str, float]]], other: list[list[tuple[str, float]]]) -> None:
    """Scores may differ by one step of rounding."""
    assert [[text for text, _ in phrases] for phrases in one] == [[text for text, _ in phrases] for phrases in other]
    for phrases, others in zip(one, other, strict=True):
        assert [score for _, score in phrases] == pytest.approx([score for _, score in others], abs=1.1e-5)


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_batches_do_not_matter(generators: MakeGenerator, kind: str, beams: int) -> None:
    generator = generators(kind, beams)
    rows = sources(generator.mixer)
    together = generator.generate(rows, LANGS)
    assert sum(map(len, together)) >= 4
    for batch_tokens in (1, 300):
        assert_same(generator.generate(rows, LANGS, batch_tokens), together)
    order = [4, 0, 6, 5, 2, 1, 3]
    mixed = generator.generate([rows[index] for index in order], [LANGS[index] for index in order])
    assert_same(mixed, [together[index] for index in order])
    assert_same(generator.generate(rows[:1], LANGS[:1]), together[:1])
    assert generator.generate([], []) == []


@pytest.mark.parametrize("kind", KINDS)
def test_generated_phrases(generators: MakeGenerator, kind: str) -> None:
    generator = generators(kind)
    for phrases in generator.generate(sources(generator.mixer), LANGS):
        texts = [text for text, _ in phrases]
        scores = [score for _, score in phrases]
        assert all(text and text == " ".join(text.split()) and "[" not in text for text in texts)
        assert len({text.lower() for text in texts}) == len(texts)
        assert scores == sorted(scores, reverse=True)
        assert all(0 < score <= 1 and score == round(score, 5) for score in scores)


@pytest.mark.parametrize("kind", ["mbart25", "mbart50"])
def test_the_language_token_determines_the_output(generators: MakeGenerator, kind: str) -> None:
    generator = generators(kind)
    [row, *_] = sources(generator.mixer)
    french, german = generator.generate([row, row], ["fr", "de"])
    assert french != german
    assert_same(generator.generate([row], ["fr"]), [french])
    with pytest.raises(UserError, match="no token for the language 'yy'"):
        generator.generate([row], ["yy"])


def test_different_numbers_of_start_tokens(tmp_path: Path) -> None:
    save_backbone(tmp_path, "bart")
    tokenizer = load_tokenizer(str(tmp_path))
    tokenizer.add_tokens(["xx"], special_tokens=True)  # the other language starts with </s> <s>
    mixer = CodeMixer(tokenizer, make_config(str(tmp_path)), decoder_start=2)
    torch.manual_seed(1)
    generator = Generator(load_model(mixer), mixer, GenerateConfig(beams=2))
    languages = [mixer.language("xx"), mixer.language("en")]
    assert [len(mixer.frame(language).start) for language in languages] == [1, 2]
    rows: list[Any] = mixer.sources(["les réseaux", "les réseaux"], languages, [[], []])
    both = generator.generate(rows, ["xx", "en"])
    assert_same(both, [*generator.generate(rows[:1], ["xx"]), *generator.generate(rows[1:], ["en"])])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beams", [1, 4])
def test_scores_agree_with_those_of_the_search(generators: MakeGenerator, kind: str, beams: int) -> None:
    """The reference: one document at a time, with probabilities from `compute_transition_scores`."""
    generator = generators(kind, beams)
    model, mixer = generator.model, generator.mixer
    marks = mixer.marks
    rows = sources(mixer)
    found = generator.generate(rows, LANGS)
    for row, lang, phrases in zip(rows, LANGS, found, strict=True):
        start = mixer.frame(mixer.language(lang)).start
        output = model.generate(
            torch.from_numpy(row.astype(np.int64))[None],
            decoder_input_ids=torch.tensor([start]),
            generation_config=GenerationConfig(
                num_beams=beams,
                length_penalty=1.0 if beams > 1 else None,
                max_new_tokens=mixer.config.target_tokens,
                decoder_start_token_id=start[0],
                eos_token_id=marks.end,
                pad_token_id=mixer.pad_id,
                suppress_tokens=[*mixer.forbidden, *range(len(mixer), model.config.vocab_size)],
                output_scores=True,
                output_logits=True,
                return_dict_in_generate=True,
            ),
        )
        steps = output.scores if beams > 1 else [logits.log_softmax(dim=1) for logits in output.logits]
        scores = model.compute_transition_scores(
            output.sequences, tuple(steps), output.beam_indices if beams > 1 else None, normalize_logits=False
        )
        ids = output.sequences[0, len(start) :].tolist()
        expected: list[tuple[str, float]] = []
        texts: set[str] = set()
        phrase: list[int] = []
        values: list[float] = []
        lowest = 1.0
        for token, log_probability in zip(ids, scores[0].tolist(), strict=True):
            values.append(np.exp(log_probability))
            if token not in (marks.sep, marks.end):
                phrase.append(token)
                continue
            lowest = min(lowest, sum(values) / len(values))
            text = mixer.decode(phrase)
            letters = "".join(letter for letter in text.lower() if letter not in "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
            if letters.strip() and " ".join(letters.split()) not in texts:
                texts.add(" ".join(letters.split()))
                expected.append((text, lowest))
            phrase, values = [], []
            if token == marks.end:
                break
        assert [text for text, _ in phrases] == [text for text, _ in expected]
        assert [score for _, score in phrases] == pytest.approx([score for _, score in expected], abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_logits_of_targets_only(generators: MakeGenerator, kind: str) -> None:
    generator = generators(kind)
    model, mixer = generator.model, generator.mixer
    starts = [mixer.frame(mixer.language(lang)).start for lang in ("fr", "de")]
    targets = [[20, 21, mixer.marks.end], [22, 23, 24, 25, mixer.marks.end]]
    batch = collate_targets(targets, starts, mixer.pad_id)
    assert batch["target_ids"].tolist() == [*targets[0], *targets[1]]
    inputs = {
        "input_ids": torch.tensor([[30, 31, 32], [33, 34, mixer.pad_id]]),
        "attention_mask": torch.tensor([[True, True, True], [True, True, False]]),
        "decoder_input_ids": batch["decoder_input_ids"],
    }
    logits = target_logits(model, batch["target_rows"], **inputs)
    whole = model(**inputs).logits  # the model is unchanged
    assert whole.ndim == 3
    before = len(starts[0]) - 1
    for document, (target, part) in enumerate(zip(targets, (logits[:3], logits[3:]), strict=True)):
        torch.testing.assert_close(part, whole[document, before : before + len(target)], atol=1e-5, rtol=0)
        alone = model(
            input_ids=inputs["input_ids"][document : document + 1, : 3 - document],
            decoder_input_ids=torch.tensor([[*starts[document], *target[:-1]]]),
        ).logits[0, before:]
        torch.testing.assert_close(part, alone, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_round_trip_of_a_generator(generators: MakeGenerator, kind: str, tmp_path: Path) -> None:
    generator = generators(kind, beams=5)
    generator.save(tmp_path / "saved")
    shutil.move(tmp_path / "saved", tmp_path / "moved")  # the folder may be moved
    opened = open_generator(str(tmp_path / "moved"))
    assert opened.search == GenerateConfig(beams=5)
    assert opened.mixer.config == make_config(str(tmp_path / "moved"))
    for name, values in generator.model.state_dict().items():
        assert torch.equal(opened.model.state_dict()[name], values)
    again = sources(opened.mixer)
    for one, other in zip(again, sources(generator.mixer), strict=True):
        assert np.array_equal(one, other)
    assert opened.generate(again, LANGS) == generator.generate(again, LANGS)
    assert {"generator.json", "model.safetensors", "tokenizer.json"} <= {
        path.name for path in (tmp_path / "moved").iterdir()
    }
    written = json.loads((tmp_path / "moved/generator.json").read_text("utf-8"))
    assert written["source_tokens"] == 40


def test_new_embeddings_depend_on_the_seed(seq2seq: dict[str, str]) -> None:
    mixer = load_mixer(make_config(seq2seq["mbart25"]))
    embeddings = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        embeddings.append(load_model(mixer).get_input_embeddings().weight.detach())
    before = load_file(f"{seq2seq['mbart25']}/model.safetensors")["model.shared.weight"]
    assert len(embeddings[0]) == len(mixer) == len(before) + 3
    assert torch.equal(embeddings[0], embeddings[1])
    assert torch.equal(embeddings[0][:-3], before)
    assert not torch.equal(embeddings[0][-3:], embeddings[2][-3:])
    assert (
        len(load_model(load_mixer(make_config(seq2seq["t5"]))).get_input_embeddings().weight)
        == len(load_tokenizer(seq2seq["t5"])) + 8
    )  # the embeddings already had rows for the new tokens


def test_other_folders_are_refused(seq2seq: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a generator: it has no valid generator"):
        open_generator(seq2seq["mbart25"])
    with pytest.raises(UserError, match="is not a generator"):
        open_generator(str(tmp_path / "nowhere"))

    mixer = load_mixer(make_config(seq2seq["t5"]))
    save_generator(load_model(mixer), mixer, tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    name = "decoder.block.0.layer.0.SelfAttention.q.weight"
    del weights[name]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=f"lacks 1 weights, such as {name}"):
        open_generator(str(tmp_path))
    (tmp_path / "generator.json").write_text('{"passages": -1}', encoding="utf-8")
    with pytest.raises(UserError, match=r"generator\.json: passages is -1"):
        open_generator(str(tmp_path))


def test_wrapped_model(generators: MakeGenerator) -> None:
    class Wrapped(torch.nn.Module):
        def __init__(self, module: torch.nn.Module) -> None:
            super().__init__()
            self.module = module

    model = generators("t5").model
    assert unwrap(Wrapped(Wrapped(model)), PreTrainedModel) is model


def test_planted_tokenizer_needs_no_new_tokens(tmp_path: Path) -> None:
    save_backbone(tmp_path, "t5")
    tokenizer = save_plain_tokenizer(tmp_path, "t5", languages=["en", "xx"])
    assert load_mixer(make_config(str(tmp_path))).language("xx") == tokenizer.convert_tokens_to_ids("xx")
    mixer = load_mixer(make_config(str(tmp_path)))
    generator = Generator(load_model(mixer), mixer, GenerateConfig(beams=2))
    rows: list[Any] = generator.mixer.sources(["le reti"] * 2, [generator.mixer.language("xx")] * 2, [[], ["graph"]])
    assert len(generator.generate(rows, ["xx", "xx"])) == 2

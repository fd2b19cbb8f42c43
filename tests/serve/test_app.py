"""The HTTP interface, in this process, with a real predictor."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.exceptions import HTTPException

from kpray.document import Document
from kpray.registry import open_predictor
from kpray.serve.errors import overloaded
from tests.ramkg.tiny_generator import RECORDS
from tests.samrank.tiny_models import SENTENCES
from tests.serve.service import Service, StartService

ALICE, BOB = "alice-0123456789abcdef", "bob-0123456789abcdef"
BODY = {"documents": [{"text": SENTENCES[0]}]}


def test_keyphrases_are_those_of_the_predictor(start_service: StartService, tiny_samrank: dict[str, Any]) -> None:
    answer = start_service().keyphrases(*SENTENCES, top=4)
    assert answer.status_code == 200
    body = answer.json()
    documents = [Document(id="", body=text) for text in SENTENCES]
    expected = open_predictor("samrank", tiny_samrank).predict(documents, top=4)
    assert body["model"] == "samrank"
    assert [[phrase["text"] for phrase in result["keyphrases"]] for result in body["results"]] == [
        [phrase.text for phrase in phrases] for phrases in expected
    ]
    first = body["results"][0]
    assert set(first) == {"lang", "keyphrases"}
    assert first["lang"] == "en"
    assert set(first["keyphrases"][0]) == {"text", "score", "present", "offsets"}


def test_title_id_and_language_of_a_document(start_service: StartService) -> None:
    documents = [
        {"id": "7", "title": "Sparse networks", "text": SENTENCES[1]},
        {"text": "Les réseaux de neurones apprennent la structure des graphes.", "lang": "fr"},
        {"text": "ເອກະສານ", "lang": "lo"},
    ]
    response = start_service().request("POST", "/v1/keyphrases", json={"documents": documents, "lang": "en"})
    titled, french, lao = response.json()["results"]
    assert titled["id"] == "7"
    assert (titled["lang"], french["lang"]) == ("en", "fr")
    assert "Sparse networks" in {phrase["text"] for phrase in titled["keyphrases"]}
    assert "réseaux" in {phrase["text"] for phrase in french["keyphrases"]}
    assert lao["error"]["code"] == "rejected"
    assert "written without spaces" in lao["error"]["message"]


def test_explanation_has_the_offsets_of_each_token(start_service: StartService) -> None:
    text = "  𝔘nicode: sparse networks, and graphs.  "
    [result] = start_service().keyphrases(text, explain=True).json()["results"]
    pieces = [text[token["start"] : token["end"]] for token in result["tokens"]]
    assert "".join(pieces) == "".join(text.split())
    assert result["evidence"] == []


def test_ramkg_and_the_passages_that_helped(start_service: StartService, tiny_ramkg: str) -> None:
    service = start_service(models=["samrank", f"mine={tiny_ramkg}"])
    documents = [{"text": record.document.text, "lang": record.document.lang} for record in RECORDS]
    body = {"documents": [*documents, {"text": "x", "lang": "xx"}], "model": "mine", "explain": True}
    answer = service.request("POST", "/v1/keyphrases", json=body).json()
    *results, unknown = answer["results"]
    expected = open_predictor(tiny_ramkg).predict([record.document for record in RECORDS], explain=True)
    for result, explanation in zip(results, expected, strict=True):
        assert [phrase["text"] for phrase in result["keyphrases"]] == [phrase.text for phrase in explanation.keyphrases]
        assert [(passage["text"], passage["keyphrases"]) for passage in result["evidence"]] == [
            (found.document.text, list(found.keyphrases)) for found in explanation.evidence
        ]
        assert result["tokens"] == []
        assert explanation.support is not None
        assert [phrase["support"] for phrase in result["keyphrases"]] == [
            [{"keyphrase": each.keyphrase, "passages": list(each.passages), "gain": each.gain} for each in support]
            for support in explanation.support
        ]
        for support in explanation.support:
            assert all(
                each.keyphrase in result["evidence"][index]["keyphrases"] for each in support for index in each.passages
            )
    assert any(phrase["support"] for result in results for phrase in result["keyphrases"])
    plain = service.request("POST", "/v1/keyphrases", json={**body, "explain": False, "top": 1}).json()["results"]
    assert all("support" not in phrase for result in plain[:-1] for phrase in result["keyphrases"])
    assert unknown["error"]["code"] == "rejected"
    assert unknown["error"]["message"].startswith("the model has no token for the language 'xx'")
    assert service.metric('kpray_tokens_total{model="mine"') > 0


def test_errors_of_single_documents(start_service: StartService) -> None:
    service = start_service(limits={"characters": 500, "tokens": 80})
    texts = [SENTENCES[0], "", " \n ", "x" * 501, " ".join(SENTENCES), SENTENCES[1]]
    results = service.keyphrases(*texts).json()["results"]
    assert [result.get("error", {}).get("code", "ok") for result in results] == [
        *("ok", "rejected", "rejected", "too_long", "too_long", "ok")
    ]
    assert results[3]["error"]["message"] == "the document has 501 characters, but the limit is 500"
    assert results[4]["error"]["message"].endswith("tokens, but the limit is 80")
    assert results[1]["keyphrases"] == []


def test_half_a_character(start_service: StartService) -> None:
    service = start_service()
    headers = {"Content-Type": "application/json"}
    body = rb'{"documents": [{"text": "half \ud800"}, {"text": "whole networks"}]}'
    half, whole = service.request("POST", "/v1/keyphrases", content=body, headers=headers).json()["results"]
    assert half["error"]["code"] == "rejected"
    assert whole["keyphrases"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"documents": []}, "documents: List should have at least 1 item after validation, not 0"),
        ({"documents": "text"}, "documents: Input should be a valid list"),
        ({"documents": [{"text": 7}]}, "documents.0.text: Input should be a valid string"),
        ({"documents": [{}]}, "documents.0.text: Field required"),
        ({"documents": [{"text": "a", "<img>": 1}]}, "documents.0 has an unknown field; see /docs"),
        ({"top": "5"}, "top: Input should be a valid integer"),
        ({"top": 0}, "top: Input should be greater than or equal to 1"),
        ({"top": 101}, "top: Input should be less than or equal to 100"),
        ({"documents": [{"text": "a"}] * 65}, "documents: List should have at most 64 items after validation, not 65"),
        ({"explain": "yes"}, "explain: Input should be a valid boolean"),
        ({"lang": ""}, "lang: String should have at least 1 character"),
        ({"model": "other"}, "model: Input should be 'samrank'"),
        ({"secret": 1}, "the body has an unknown field; see /docs"),
    ],
)
def test_wrong_fields(fields: dict[str, Any], message: str, start_service: StartService) -> None:
    service = start_service()
    response = service.request("POST", "/v1/keyphrases", json={**BODY, **fields})
    service.error(response, 422)
    assert response.json()["error"]["message"] == message


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 422, "invalid"),
        (b"{", 400, "bad_request"),
        (b"\xff\xfe\x00", 400, "bad_request"),
        (b"[" * 100_000, 400, "bad_request"),
        (b'{"documents": ' + b"9" * 5000 + b"}", 400, "bad_request"),
        (b'{"documents": NaN}', 422, "invalid"),
        (b'{"documents": [{"text": "half an id", "id": "\\ud800"}]}', 422, "invalid"),
        (b"null", 422, "invalid"),
        (b'"text"', 422, "invalid"),
        (b"x" * 2000, 413, "too_large"),
    ],
)
def test_wrong_bodies(content: bytes, status: int, code: str, start_service: StartService) -> None:
    service = start_service(limits={"body_bytes": 1000 if status == 413 else 1_000_000})
    headers = {"Content-Type": "application/json"}
    assert service.error(service.request("POST", "/v1/keyphrases", content=content, headers=headers), status) == code


def test_body_without_a_length_is_limited_too(start_service: StartService) -> None:
    async def chunks() -> Any:
        for _ in range(1000):
            yield b"x" * 1000

    service = start_service(limits={"body_bytes": 5000})
    headers = {"Content-Type": "application/json"}
    response = service.request("POST", "/v1/keyphrases", content=chunks(), headers=headers)
    assert service.error(response, 413) == "too_large"
    assert response.headers["connection"] == "close"


def test_other_content_types_methods_and_paths(start_service: StartService) -> None:
    service = start_service()
    plain = service.request("POST", "/v1/keyphrases", content=json.dumps(BODY), headers={"Content-Type": "text/plain"})
    assert service.error(plain, 415) == "unsupported_media_type"
    wrong = service.request("PUT", "/v1/keyphrases", json=BODY)
    assert service.error(wrong, 405) == "method_not_allowed"
    assert wrong.headers["allow"] == "POST"
    assert service.error(service.request("GET", "/v2/keyphrases"), 404) == "not_found"


def test_other_errors_of_the_framework(start_service: StartService) -> None:
    def refuse() -> None:
        raise HTTPException(406, headers={"X-Kept": "yes"})

    service = start_service()
    middleware: Any = service.app
    middleware._app.add_api_route("/refused", refuse)
    response = service.request("GET", "/refused")
    assert service.error(response, 406) == "refused"
    assert response.json()["error"]["message"] == "This endpoint does not accept that request; see /docs."
    assert response.headers["x-kept"] == "yes"


def test_keys(start_service: StartService, keys_file: Path) -> None:
    service = start_service(api_keys=str(keys_file), environment={"KPRAY_API_KEYS": "metrics:metrics-0123456789"})
    assert service.keyphrases("Sparse networks.", key=ALICE).status_code == 200
    for key in ("", "wrong", f"{ALICE}x"):
        response = service.keyphrases("Sparse networks.", key=key)
        assert service.error(response, 401) == "no_key"
        assert response.headers["www-authenticate"] == "Bearer"
    basic = service.request("GET", "/v1/models", headers={"Authorization": f"Basic {ALICE}"})
    assert service.error(basic, 401) == "no_key"
    for path in ("/", "/healthz", "/readyz", "/docs", "/openapi.json"):
        assert service.request("GET", path).status_code == 200
    for path, key, status in (
        ("/metrics", ALICE, 403),
        ("/metrics", "metrics-0123456789", 200),
        ("/v1/models", "metrics-0123456789", 403),
        ("/v1/models", ALICE, 200),
    ):
        assert service.request("GET", path, headers={"Authorization": f"Bearer {key}"}).status_code == status


def test_key_is_checked_before_the_body_is_read(start_service: StartService, keys_file: Path) -> None:
    read = 0

    async def chunks() -> Any:
        nonlocal read
        read += 1
        yield b"{"

    service = start_service(api_keys=str(keys_file))
    service.error(service.request("POST", "/v1/keyphrases", content=chunks()), 401)
    assert read == 0


def test_deadline(start_service: StartService) -> None:
    service = start_service(limits={"seconds": 0.2})
    service.backend.pause = 60
    assert service.error(service.keyphrases("Sparse networks."), 504) == "deadline"


def test_slow_body(start_service: StartService) -> None:
    async def chunks() -> Any:
        import asyncio

        yield b"{"
        await asyncio.sleep(60)

    service = start_service(limits={"seconds": 0.2})
    headers = {"Content-Type": "application/json"}
    response = service.request("POST", "/v1/keyphrases", content=chunks(), headers=headers)
    assert service.error(response, 408) == "slow_body"


def test_overload(start_service: StartService) -> None:
    service = start_service()
    service.backend.failure = overloaded()
    refused = service.keyphrases("Sparse networks.")
    assert service.error(refused, 503) == "overloaded"
    assert refused.headers["retry-after"] == "1"
    assert service.error(service.request("GET", "/readyz"), 503) == "not_ready"
    assert service.request("GET", "/healthz").json() == {"status": "ok"}


def test_unexpected_failure_is_logged_without_the_text(
    start_service: StartService, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    service = start_service()
    service.backend.failure = KeyError("Secret words.")
    response = service.keyphrases("Secret words.")
    assert service.error(response, 500) == "internal"
    assert "ecret" not in caplog.text
    assert response.json()["error"]["request_id"] in caplog.text
    assert "KeyError" in caplog.text


def test_log_line_of_a_request(start_service: StartService, keys_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="ray.serve")
    service = start_service(api_keys=str(keys_file))
    headers = {"Authorization": f"Bearer {BOB}", "X-Request-ID": "from-the-client.1"}
    response = service.request("POST", "/v1/keyphrases", json={"documents": [{"text": "Secret"}] * 2}, headers=headers)
    assert response.status_code == 200
    [line] = [record.getMessage() for record in caplog.records if record.name == "ray.serve"]
    start, _, rest = line.partition(" ms ")
    assert start.startswith("POST /v1/keyphrases 200 ")
    assert rest == "request=from-the-client.1 key=bob model=samrank documents=2"
    caplog.clear()
    service.request("GET", "/secret?text=secret", headers={"X-Request-ID": "a b\tsecret"})
    assert "secret" not in "".join(record.getMessage() for record in caplog.records if record.name == "ray.serve")


def test_one_warning_about_requests_of_other_machines_without_a_key(
    start_service: StartService, keys_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def ask(service: Service, *clients: str) -> None:
        for client in clients:
            transport = httpx.ASGITransport(service.app, client=(client, 1234))
            async with httpx.AsyncClient(transport=transport, base_url="http://service") as other:
                assert (await other.get("/healthz")).status_code == 200

    caplog.set_level(logging.WARNING, logger="ray.serve")
    asyncio.run(ask(start_service(api_keys=str(keys_file)), "192.0.2.7"))
    service = start_service()
    asyncio.run(ask(service, "127.0.0.1", "::1"))
    assert caplog.records == []
    asyncio.run(ask(service, "192.0.2.7", "192.0.2.8"))
    [warning] = caplog.records
    assert "anyone who can reach this service can use it, because no API key is set" in warning.getMessage()


def test_metrics(start_service: StartService) -> None:
    service = start_service()
    service.keyphrases("Sparse networks.", "", "Graphs.")
    service.keyphrases("Sparse networks.", top=0)
    page = service.request("GET", "/metrics")
    assert page.headers["content-type"].startswith("text/plain")
    assert page.text.count("# TYPE kpray_requests_total counter") == 1
    assert service.metric('kpray_requests_total{replica="ingress-1",route="/v1/keyphrases",status="200"}') == 1
    assert service.metric('kpray_rejects_total{code="invalid"') == 1
    assert service.metric('kpray_documents_total{model="samrank",outcome="ok"') == 2
    assert service.metric('kpray_documents_total{model="samrank",outcome="rejected"') == 1
    assert service.metric('kpray_tokens_total{model="samrank"') > 4
    assert service.metric('kpray_batch_documents_sum{model="samrank"') == 2
    assert service.metric('kpray_request_seconds_count{replica="ingress-1",route="/v1/keyphrases"}') == 2
    assert service.metric('kpray_queue_documents{model="samrank"') == 0
    assert service.metric("kpray_ongoing_requests{") == 1  # the request itself


def test_models(start_service: StartService) -> None:
    service = start_service(models=["first=samrank", "second=samrank"], limits={"documents": 3})
    answer = service.request("GET", "/v1/models").json()
    assert [(model["name"], model["kind"]) for model in answer["models"]] == [
        ("first", "samrank"),
        ("second", "samrank"),
    ]
    assert answer["limits"]["documents"] == 3
    assert service.keyphrases("Sparse networks.").json()["model"] == "first"
    assert service.keyphrases("Sparse networks.", model="second").json()["model"] == "second"


def test_pages_load_nothing_from_other_addresses(start_service: StartService) -> None:
    service = start_service()
    page = service.request("GET", "/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for text in (page.text, service.request("GET", "/docs").text):
        assert "https://" not in text
        assert "http://" not in text
    assert service.request("GET", "/static-offline-docs/swagger-ui.css").status_code == 200

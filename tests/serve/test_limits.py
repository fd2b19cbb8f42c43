"""Who may ask, how much, and from where: rates, shares, addresses, hosts and origins."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.samrank.tiny_models import SENTENCES
from tests.serve.service import StartService

ALICE, BOB = "alice-0123456789abcdef", "bob-0123456789abcdef"
BODY = {"documents": [{"text": SENTENCES[0]}]}


def test_rate_limit_of_a_key(start_service: StartService, keys_file: Path) -> None:
    """A short text counts as 100 characters."""
    limits = {"body_bytes": 500, "characters_per_minute": 500}
    service = start_service(api_keys=str(keys_file), limits=limits)
    texts = ["Sparse networks."] * 3
    assert service.keyphrases(*texts, key=ALICE).status_code == 200
    refused = service.keyphrases(*texts, key=ALICE)
    assert service.error(refused, 429) == "rate_limited"
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert service.keyphrases(*texts, key=BOB).status_code == 200
    assert service.keyphrases(*texts[:2], key=ALICE).status_code == 200  # refused requests do not count


def test_rate_limit_counts_characters(start_service: StartService) -> None:
    service = start_service(limits={"body_bytes": 1000, "characters_per_minute": 1000})
    assert service.keyphrases("Sparse networks. " * 50).status_code == 200  # 850 characters
    refused = service.keyphrases("Sparse networks. " * 10)
    assert service.error(refused, 429) == "rate_limited"
    message = "This address has reached the limit of 1000 characters per minute; try again later."
    assert refused.json()["error"]["message"] == message
    assert service.keyphrases("Sparse networks.").status_code == 200


def test_many_short_documents_are_not_refused_forever(start_service: StartService) -> None:
    service = start_service(limits={"body_bytes": 2000, "characters_per_minute": 2000})
    assert service.keyphrases(*["Graphs."] * 30).status_code == 200
    service.error(service.keyphrases("Graphs."), 429)


def test_a_key_leaves_room_for_others(start_service: StartService, keys_file: Path) -> None:
    async def ask() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(service.app), base_url="http://service") as client:

            async def one(key: str) -> httpx.Response:
                headers = {"Authorization": f"Bearer {key}"}
                return await client.post("/v1/keyphrases", json=BODY, headers=headers)

            return list(await asyncio.gather(*map(one, [*[ALICE] * 5, BOB])))

    small = {"replicas": {"max_ongoing_requests": 4}, "batch": {"documents": 4}}
    service = start_service(api_keys=str(keys_file), **small)
    service.backend.pause = 0.3
    *alice, bob = asyncio.run(ask())
    assert bob.status_code == 200
    assert sorted(answer.status_code for answer in alice) == [200, 200, 429, 429, 429]
    refused = next(answer for answer in alice if answer.status_code == 429)
    assert service.error(refused, 429) == "too_many_requests"
    assert refused.headers["retry-after"] == "1"
    assert service.keyphrases("Graphs.", key=ALICE).status_code == 200


def test_rate_limit_of_an_address(start_service: StartService) -> None:
    service = start_service(limits={"body_bytes": 100, "characters_per_minute": 100})
    assert service.keyphrases("Sparse networks.").status_code == 200
    service.error(service.keyphrases("Sparse networks."), 429)


@pytest.mark.parametrize(
    ("proxies", "client", "statuses"),
    [
        ([], "127.0.0.1", [200, 429, 429]),  # anyone can write the header
        (["10.0.0.0/8"], "127.0.0.1", [200, 429, 429]),
        (["10.0.0.0/8", "127.0.0.1"], "127.0.0.1", [200, 200, 429]),
        (["10.0.0.0/8"], "10.1.2.3", [200, 200, 429]),
    ],
)
def test_forwarded_addresses_count_only_from_proxies(
    proxies: list[str], client: str, statuses: list[int], start_service: StartService
) -> None:
    async def ask() -> list[int]:
        transport = httpx.ASGITransport(service.app, client=(client, 1234))
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as asking:
            answers = [
                await asking.post("/v1/keyphrases", json=body, headers={"X-Forwarded-For": f"6.6.6.6, {address}"})
                for address in ("192.0.2.1", "192.0.2.2", "192.0.2.2")
            ]
        return [answer.status_code for answer in answers]

    body = {"documents": [{"text": "Graphs. " * 18}]}  # 144 characters
    service = start_service(limits={"body_bytes": 200, "characters_per_minute": 200}, proxies=proxies)
    assert asyncio.run(ask()) == statuses


@pytest.mark.parametrize(
    ("server", "host", "status"),
    [
        *(("127.0.0.1", host, 200) for host in ("localhost", "LOCALHOST:81", "127.0.0.1:9", "[::1]:80", "My.Name:1")),
        *(("127.0.0.1", host, 421) for host in ("rebound.example", "", "localhost.example", "[::1", "192.0.2.1")),
        ("[::1]", "rebound.example:80", 421),
        ("192.0.2.1", "anything.example", 200),
    ],
)
def test_host_is_checked_on_loopback(server: str, host: str, status: int, start_service: StartService) -> None:
    service = start_service(hosts=["my.name"])

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(service.app)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{server}:80") as client:
            return await client.get("/v1/models", headers={"Host": host})

    answer = asyncio.run(ask())
    assert answer.status_code == status
    if status == 421:
        assert service.error(answer, 421) == "wrong_host"


def test_only_configured_origins_are_allowed(start_service: StartService) -> None:
    origin = {"Origin": "https://example.org"}
    assert "access-control-allow-origin" not in start_service().request("GET", "/healthz", headers=origin).headers
    named = start_service(cors_origins=["https://example.org"]).request("GET", "/healthz", headers=origin)
    assert named.headers["access-control-allow-origin"] == "https://example.org"


def test_preflight_needs_no_key(start_service: StartService, keys_file: Path) -> None:
    service = start_service(api_keys=str(keys_file), cors_origins=["https://example.org"])
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    preflight = service.request("OPTIONS", "/v1/keyphrases", headers={"Origin": "https://example.org", **asked})
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "https://example.org"
    other = service.request("OPTIONS", "/v1/keyphrases", headers={"Origin": "https://other.example", **asked})
    assert other.status_code == 400
    assert "access-control-allow-origin" not in other.headers
    # A page of an allowed origin can read why it is refused.
    refused = service.request("POST", "/v1/keyphrases", json=BODY, headers={"Origin": "https://example.org"})
    assert service.error(refused, 401) == "no_key"
    assert refused.headers["access-control-allow-origin"] == "https://example.org"


def test_readyz_looks_at_the_replicas_once_a_second(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, ready = 0, True

    async def look() -> bool:
        nonlocal looks
        looks += 1
        await asyncio.sleep(0.05)
        return ready

    async def ask(client: httpx.AsyncClient) -> set[int]:
        answers = await asyncio.gather(*(client.get("/readyz") for _ in range(50)))
        return {answer.status_code for answer in answers}

    async def watch() -> None:
        nonlocal ready
        async with httpx.AsyncClient(transport=httpx.ASGITransport(service.app), base_url="http://service") as client:
            assert await ask(client) == {200}
            assert looks == 1
            ready = False
            assert await ask(client) == {200}
            await asyncio.sleep(1.0)
            assert await ask(client) == {503}
            assert looks == 2

    service = start_service()
    monkeypatch.setattr(service.backend, "ready", look)
    asyncio.run(watch())

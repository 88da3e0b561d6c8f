"""Who may use the server: tokens, origins and host names; and the API's other
routes."""

import httpx
import pytest

from colorizenet.errors import ConfigError
from colorizenet.serving.access import parse_origin, parse_server_name


def test_a_token_is_required(run_server, read_problem, load_default, samples):
    encoded = samples[0].read_bytes()
    with run_server({"default": load_default}, token="open sesame") as client:
        for path in ("/", "/v1/models", "/metrics", "/docs"):
            assert "Authorization: Bearer TOKEN" in read_problem(client.get(path), 401)
        wrong = client.post(
            "/v1/colorize", content=encoded, headers={"Authorization": "Bearer open"}
        )
        assert "token" in read_problem(wrong, 401)
        assert wrong.headers["www-authenticate"].startswith("Bearer")
        assert client.get("/").headers["www-authenticate"].startswith("Basic")
        bearer = {"Authorization": "Bearer open sesame"}
        assert client.post("/v1/colorize", content=encoded, headers=bearer).status_code == 200
        assert client.get("/v1/models", auth=("anybody", "open sesame")).status_code == 200
        read_problem(client.get("/v1/models", auth=("open sesame", "")), 401)
        malformed = {"Authorization": "Basic ÿ%%".encode("latin-1")}
        read_problem(client.get("/v1/models", headers=malformed), 401)


def test_pages_of_other_sites_may_not_use_the_server(
    api, run_server, read_problem, load_default, samples
):
    encoded = samples[0].read_bytes()

    def post(client: httpx.Client, origin: str) -> httpx.Response:
        return client.post("/v1/colorize", content=encoded, headers={"Origin": origin})

    evil, friend = "https://evil.example", "https://friend.example"
    assert "https://evil.example may not" in read_problem(post(api, evil), 403)
    response = api.get("/v1/models", headers={"Origin": evil})
    assert "access-control-allow-origin" not in response.headers
    assert post(api, f"http://{api.base_url.netloc.decode()}").status_code == 200
    with run_server(
        {"default": load_default}, hosts=frozenset({"127.0.0.1"}), origins=frozenset({friend})
    ) as client:
        assert post(client, friend).headers["access-control-allow-origin"] == friend
        read_problem(post(client, evil), 403)
        # Names of another site that resolve to this machine
        for host in ("evil.example:80", "[", "127.0.0.1.evil.example", "127.0.0.1@evil.example"):
            response = client.get("/v1/models", headers={"Host": host})
            assert f"{host} is not a name of this server" in read_problem(response, 421)


def test_pages_that_are_allowed_can_read_errors(run_server, read_problem, load_default):
    friend = {"Origin": "https://friend.example"}
    with run_server(
        {"default": load_default}, token="secret", origins=frozenset(friend.values())
    ) as client:
        ask = {"Access-Control-Request-Method": "POST"}
        preflight = client.options("/v1/colorize", headers={**friend, **ask})
        refused = client.post("/v1/colorize", content=b"", headers=friend)
        read_problem(refused, 401)
        for response in (preflight, refused):
            assert response.headers["access-control-allow-origin"] == friend["Origin"]
        foreign = {"Origin": "https://evil.example", **ask}
        read_problem(client.options("/v1/colorize", headers=foreign), 403)


def test_names_and_origins_are_brought_into_the_form_that_clients_send():
    assert parse_server_name("Photos.Example.:8126") == "photos.example"
    assert parse_origin("https://Photos.example/") == "https://photos.example"
    assert parse_server_name("2001:DB8::1") == "2001:db8::1"
    assert parse_origin("http://localhost:8000") == "http://localhost:8000"
    assert parse_origin("https://Photos.example:443") == "https://photos.example"
    assert parse_origin("http://[::1]:80/") == "http://[::1]"
    for name in ("", "a/b", "https://photos.example", "["):
        with pytest.raises(ConfigError, match="is no host name"):
            parse_server_name(name)
    for origin in (
        "photos.example",
        "https://",
        "https://a/b",
        "https://u@a",
        "http://[",
        "http://a:b",
        "*",
    ):
        with pytest.raises(ConfigError, match="is no origin"):
            parse_origin(origin)


def test_a_token_can_have_any_letters(run_server, load_default):
    with run_server({"default": load_default}, token="Sesam öffne dich") as client:
        bearer = {"Authorization": "Bearer Sesam öffne dich".encode()}
        assert client.get("/v1/models", headers=bearer).status_code == 200
        assert client.get("/v1/models", auth=("anybody", "Sesam öffne dich")).status_code == 200


def test_a_server_without_a_token_is_addressed_by_its_names_or_by_an_address(
    run_server, read_problem, load_default
):
    hosts = frozenset({"localhost", "photos.example"})
    with run_server({"default": load_default}, hosts=hosts) as client:
        for host in (
            "photos.example",
            "PHOTOS.example.:8000",
            "192.168.0.7:80",
            "[fe80::1]:80",
            "localhost",
        ):
            response = client.get("/v1/models", headers={"Host": host})
            assert response.status_code == 200, (host, response.text)
        for host in ("rebound.example", "photos.example.evil", "192.168.0.7.evil", "x@localhost"):
            response = client.get("/v1/models", headers={"Host": host})
            assert "--server-name" in read_problem(response, 421)


def test_what_can_be_read_can_be_requested_without_a_body(api):
    for path in ("/healthz", "/metrics", "/v1/info", "/v1/models", "/docs", "/openapi.json"):
        response, whole = api.head(path), api.get(path)
        assert response.status_code == 200 and response.content == b"", path
        assert response.headers["content-type"] == whole.headers["content-type"]
        if path != "/metrics":  # which counts requests
            assert response.headers["content-length"] == whole.headers["content-length"]


def test_unknown_routes_and_methods_are_rejected(api, read_problem):
    assert "/v1/nowhere does not exist" in read_problem(api.get("/v1/nowhere"), 404)
    for path in (
        "/page/index.html",
        "/file=/etc/passwd",
        "/..%2f..%2fetc/passwd",
        "/static/x",
    ):
        read_problem(api.get(path), 404)
    assert api.delete("/v1/colorize").headers["allow"] == "POST"
    detail = read_problem(api.delete("/v1/colorize"), 405)
    assert "/v1/colorize does not accept DELETE" in detail
    assert api.get("/").headers["location"] == "/docs"


def test_the_models_are_described(api, colorizer):
    (model,) = api.get("/v1/models").json()
    assert model["name"] == "default" and model["default"] is True
    assert model["sha256"] == colorizer.sha256
    assert model["license"] and model["limitations"] and model["metrics"]["ciede2000"] > 0


def test_the_api_documentation_needs_no_other_host(api):
    document = api.get("/openapi.json").json()
    assert set(document["paths"]) == {
        "/v1/colorize",
        "/v1/suggest",
        "/v1/info",
        "/v1/models",
        "/healthz",
        "/metrics",
    }
    page = api.get("/docs")
    assert page.status_code == 200 and "swagger-ui" in page.text
    assert "://" not in page.text.replace("http://www.w3.org", "")
    assert api.get("/static-offline-docs/swagger-ui-bundle.js").status_code == 200

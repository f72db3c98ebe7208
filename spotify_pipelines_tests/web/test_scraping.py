"""``/metrics`` over HTTP: what a scraper gets, and what it is told where there is no database."""

from pathlib import Path

from spotify_pipelines_tests.support.dagster import DagsterHome
from spotify_pipelines_tests.support.web import WebServer, serve


def test_a_scraper_gets_the_metrics_of_the_servers_world(
    home: DagsterHome, database_url: str, tmp_path: Path
) -> None:
    env = {**home.env, "SPOTIFY_PIPELINES_DATABASE_URL": database_url}
    with serve(tmp_path, env) as server, server.client() as client:
        answer = client.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'world="sandbox"' in answer.text
    assert "spotify_pipelines_albums_due 0" in answer.text


def test_without_a_database_it_says_what_is_missing(server: WebServer) -> None:
    with server.client() as client:
        answer = client.get("/metrics")
    assert answer.status_code == 503
    assert "SPOTIFY_PIPELINES_DATABASE_URL" in answer.text


def test_metrics_are_behind_the_guard(closed: WebServer) -> None:
    with closed.client() as client:
        assert client.get("/metrics").status_code in (401, 403, 303)

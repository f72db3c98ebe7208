"""The Dagster UI after the demo, walked in a real headless browser as an operator would."""

import pytest
from playwright.sync_api import Locator, Page, expect

from spotify_pipelines_tests.e2e.conftest import Ui

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

_ASSETS = {
    "album_sources",
    "albums",
    "tracks",
    "audio_features",
    "account_tokens",
    "playlist_plan",
    "playlist_snapshots",
    "spotify_playlists",
    "metric_snapshots",
}


def test_the_lineage_page_shows_all_nine_assets_with_their_groups(ui: Ui) -> None:
    page = ui.open("/asset-groups")
    for group in ("catalogue", "accounts", "playlists", "observability"):
        expect(page.get_by_text(group, exact=True).first).to_be_visible()
    page.mouse.move(1000, 800)
    page.keyboard.press("Alt+e")  # expand all groups
    for asset in _ASSETS:
        expect(page.get_by_text(asset, exact=True).first).to_be_visible()
    expect(page.get_by_text("fetching statuses")).to_have_count(0)
    ui.picture("lineage")


def test_the_run_of_the_demo_is_there_with_its_steps(ui: Ui) -> None:
    runs = ui.served.ask(
        """{ runsOrError(filter: {tags: [{key: "spotify_pipelines/trigger", value: "cli"}]}) {
               ... on Runs { results { id status } } } }"""
    )
    (run,) = runs["runsOrError"]["results"]
    assert run["status"] == "SUCCESS"
    page = ui.open(f"/runs/{run['id']}")
    expect(page.get_by_text("Success", exact=True).first).to_be_visible()
    expect(page.get_by_text("Finished execution of run")).to_be_visible()
    ui.picture("run")


def test_an_asset_shows_its_figures_its_table_and_its_check(ui: Ui) -> None:
    page = ui.open("/assets/spotify_playlists")
    expect(page.get_by_text("spotify_calls_minimum").first).to_be_visible()
    expect(page.get_by_text("public.playlists").first).to_be_visible()
    expect(page.get_by_text("confirmed_snapshot_id").first).to_be_visible()
    ui.picture("asset")
    ui.open("/assets/spotify_playlists?view=checks")
    expect(page.get_by_text("every_item_was_done").first).to_be_visible()


@pytest.mark.parametrize("picture", ["tempo_and_energy", "artist_spacing"])
def test_a_draw_is_shown_as_a_picture(ui: Ui, picture: str) -> None:
    page = ui.open("/assets/playlist_snapshots?view=events")
    row = page.locator("tr", has=page.get_by_text(picture, exact=True)).last
    row.get_by_text("Show Markdown").click()
    image = page.locator("img[src^='data:image/svg+xml']")
    expect(image).to_be_visible()
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 680
    ui.picture(picture.replace("_", "-"))


def test_a_schedule_is_switched_off_and_on_by_clicking(ui: Ui) -> None:
    name = "metrics_snapshot_schedule"
    ui.served.expect_schedule(name, running=True)
    page = ui.open("/automation")
    switch = _switch(page, name)
    expect(switch.locator("input")).to_be_checked()
    switch.click()
    expect(switch.locator("input")).not_to_be_checked()
    ui.picture("schedule-off")
    ui.served.expect_schedule(name, running=False)
    page.reload(wait_until="domcontentloaded")
    switch = _switch(page, name)
    expect(switch.locator("input")).not_to_be_checked()
    switch.click()
    expect(switch.locator("input")).to_be_checked()
    ui.served.expect_schedule(name, running=True)


def test_the_resources_page_names_variables_instead_of_secrets(ui: Ui) -> None:
    page = ui.open("/locations/spotify_pipelines/resources/spotify")
    expect(page.get_by_text("SPOTIFY_PIPELINES_VAULT_KEYS").first).to_be_visible()
    content = page.content()
    secrets = [
        ui.served.here.dotenv["SPOTIFY_PIPELINES_VAULT_KEYS"],
        ui.served.here.dotenv["DAGSTER_POSTGRES_PASSWORD"],
    ]
    assert all(secret and secret not in content for secret in secrets)


def _switch(page: Page, schedule: str) -> Locator:
    # Beside the link with the name; another checkbox, for selecting the row, stands left of it.
    beside = f"//a[.//span[normalize-space()='{schedule}']]/following-sibling::div"
    return page.locator(f"xpath={beside}//label[contains(@class, 'formatSwitch')]")

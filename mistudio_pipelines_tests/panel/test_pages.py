"""The pages as a browser gets them: what they show, what they never do, what they refuse."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from mistudio_pipelines.api.settings import ApiSettings
from mistudio_pipelines_tests.api.conftest import context_of, make_client, open_workshop
from mistudio_pipelines_tests.defs.conftest import SAMPLE_TOKENIZER, Workshop

HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'
TABS = ("samples", "statistics", "tokenizations", "provenance")
FRAGMENT = {"HX-Request": "true"}
FORM = {"content-type": "application/x-www-form-urlencoded"}


class Elements(HTMLParser):
    """Every element of a page with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def addresses(self) -> list[str]:
        names = ("href", "src", "action", "hx-get", "hx-post", "data-card", "data-list")
        return [value for _, attributes in self.found for name in names if (value := attributes.get(name))]


def get(client: TestClient, path: str, status: int = 200, **headers: str) -> str:
    answer = client.get(path, headers=headers)
    assert answer.status_code == status, answer.text[:2000]
    assert answer.headers["content-type"].startswith("text/html")
    return answer.text


def all_pages(dataset_id: str) -> list[str]:
    base = f"/datasets/{dataset_id}"
    return [
        *("/datasets", "/storage", f"/deletions?dataset_id={dataset_id}", f"{base}/samples/1", "/nowhere"),
        *(f"{base}/{tab}" for tab in TABS),
    ]


def test_the_first_page_is_the_list_which_says_what_to_do_where_it_is_empty(tmp_path: Path) -> None:
    with open_workshop(tmp_path) as empty:
        settings = ApiSettings(data_folder=empty.store.root, home=tmp_path / "home")
        with make_client(settings, empty) as client:
            page = get(client, "/")
            assert "No datasets yet.</strong> Download from HuggingFace to get started." in page
            assert "Download Dataset from HuggingFace" in page
            assert "There are no datasets yet." in get(client, "/storage")


def test_a_dataset_is_shown_with_everything_that_is_known_of_it(client: TestClient, ready_dataset: str) -> None:
    base = f"/datasets/{ready_dataset}"
    assert "Foxes &amp; dragons" in get(client, "/datasets")
    samples = get(client, f"{base}/samples")
    assert "once upon a time there was a fox" in samples
    assert "no text (null)" in samples
    assert "empty text" in samples
    statistics = get(client, f"{base}/statistics")
    assert "<svg" in statistics
    assert "Most frequent words" in statistics
    assert "SHA-256" in get(client, f"{base}/provenance")
    assert client.get(base, follow_redirects=False).headers["location"] == f"{base}/samples"


def test_a_search_highlights_and_says_how_many_each_filter_would_leave(client: TestClient, ready_dataset: str) -> None:
    page = get(client, f"/datasets/{ready_dataset}/samples?search=dragon")
    assert "<strong>2 samples</strong>" in page
    assert "<mark>dragon</mark>" in page
    whole = get(client, f"/datasets/{ready_dataset}/samples/1?search=dragon")
    assert "the <mark>dragon</mark> said &lt;b&gt;hello&lt;/b&gt;" in whole


def test_a_search_that_makes_no_sense_is_said_beside_the_search(client: TestClient, ready_dataset: str) -> None:
    page = get(client, f"/datasets/{ready_dataset}/samples?search=%22open")
    assert 'role="alert"' in page
    assert 'value="&#34;open"' in page


def test_typing_changes_the_address_and_a_filter_makes_one_to_go_back_to(
    client: TestClient, ready_dataset: str
) -> None:
    address = f"/datasets/{ready_dataset}/samples"
    params = {"search": "fox", "split": "", "min_tokens": "", "sort": "number"}
    typed = client.get(address, params=params, headers={**FRAGMENT, "HX-Trigger-Name": "search"})
    assert typed.headers["HX-Replace-Url"] == f"{address}?search=fox"
    assert "<html" not in typed.text
    chosen = client.get(address, params={**params, "min_tokens": "3"}, headers=FRAGMENT)
    assert chosen.headers["HX-Push-Url"] == f"{address}?search=fox&min_tokens=3"
    assert "HX-Request" in chosen.headers["vary"]


def test_texts_and_names_are_never_markup(tmp_path: Path) -> None:
    with open_workshop(tmp_path) as workshop:
        _check_hostile(workshop, ApiSettings(data_folder=workshop.store.root, home=tmp_path / "home"))


def _check_hostile(workshop: Workshop, settings: ApiSettings) -> None:
    path = workshop.folder / "hostile.jsonl"
    workshop.write_texts(path.name, [HOSTILE, f"a\0b {HOSTILE} \u202e \x1b[31m"])
    dataset_id = workshop.add(path, name=HOSTILE)
    assert workshop.run("download", dataset_id).success
    assert workshop.run("ingest", dataset_id).success
    with make_client(settings, workshop) as client:
        pages = [*all_pages(dataset_id), "/datasets?search=%3Cscript%3Ealert(1)%3C/script%3E"]
        pages += [
            f"/datasets/{dataset_id}/samples?search=script&split=%3Cscript%3E",
            f"/datasets/{dataset_id}/samples/0",
        ]
        for path_of_page in pages:
            page = client.get(path_of_page).text
            assert "<script>alert" not in page, path_of_page
            assert not [1 for tag, attributes in Elements(page).found if tag == "img" and attributes.get("src") == "x"]
        assert "&lt;script&gt;" in get(client, f"/datasets/{dataset_id}/samples")


def test_no_page_needs_inline_script_or_style_or_another_site(client: TestClient, ready_dataset: str) -> None:
    for path in all_pages(ready_dataset):
        answer = client.get(path)
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        elements = Elements(answer.text)
        for tag, attributes in elements.found:
            assert tag != "style", path
            assert "style" not in attributes, (path, tag)
            assert not [name for name in attributes if name.startswith(("on", "hx-on"))], (path, tag)
            assert tag != "script" or str(attributes["src"]).startswith("/static/"), path
        assert not [one for one in elements.addresses() if "//" in one], path
        assert answer.headers["cache-control"] == "no-store"


def test_every_link_of_every_page_leads_somewhere(client: TestClient, ready_dataset: str) -> None:
    tried = set()
    for path in all_pages(ready_dataset):
        for address in Elements(client.get(path).text).addresses():
            if address.startswith("/") and address not in tried and "/retry" not in address:
                tried.add(address)
                status = client.get(address).status_code
                needs_fields = address.endswith(("/check", "/local", "/presets", "/deletions", "/tokens", "/estimate"))
                assert status in ((400, 404, 405) if needs_fields else (503,) if address == "/dagster" else (200,)), (
                    address
                )
    assert len(tried) > 15


def test_ids_are_there_once_on_each_page(client: TestClient, ready_dataset: str) -> None:
    for path in all_pages(ready_dataset):
        ids = [attributes["id"] for _, attributes in Elements(client.get(path).text).found if "id" in attributes]
        assert len(ids) == len(set(ids)), path


def test_below_a_prefix_every_address_has_it(workshop: Workshop, settings: ApiSettings, ready_dataset: str) -> None:
    with make_client(replace(settings, path_prefix="/team/mistudio"), workshop) as client:
        for path in all_pages(ready_dataset):
            page = client.get(path).text  # the proxy has taken the prefix away
            assert not [one for one in Elements(page).addresses() if not one.startswith(("/team/mistudio/", "#"))], path
            assert 'data-prefix="/team/mistudio"' in page
        assert client.get("/", follow_redirects=False).headers["location"] == "/team/mistudio/datasets"
        assert client.get("/static/panel.css").status_code == 200
        assert client.get("/team/mistudio/static/panel.css").status_code == 200


def test_in_read_only_mode_nothing_can_be_changed_and_no_button_says_so(
    workshop: Workshop, settings: ApiSettings, ready_dataset: str
) -> None:
    with make_client(replace(settings, read_only=True), workshop) as client:
        for path in ("/datasets", "/storage", *(f"/datasets/{ready_dataset}/{tab}" for tab in TABS)):
            elements = Elements(get(client, path)).found
            assert not [one for tag, one in elements if tag == "form" and one.get("method") == "post"], path
            assert not [one for _, one in elements if "hx-post" in one or "/deletions" in str(one.get("href"))], path
        for path in ("/datasets", f"/datasets/{ready_dataset}/retry", "/deletions", "/datasets/check"):
            assert client.post(path, content="repo_id=a/b", headers=FORM).status_code == 403, path


@pytest.mark.parametrize(
    "path", ["/datasets", "/datasets/check", "/datasets/local", "/deletions", "/datasets/{}/retry"]
)
def test_forms_of_other_sites_are_refused(client: TestClient, ready_dataset: str, path: str) -> None:
    for headers in ({"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        answer = client.post(path.format(ready_dataset), content="a=b", headers={**FORM, **headers})
        assert answer.status_code == 403


def test_a_page_that_is_not_there_says_so_as_a_page_and_the_api_as_json(client: TestClient) -> None:
    assert "There is no such page." in get(client, "/nowhere", 404)
    assert "There is no dataset ds_nobody_a1b2c3." in get(client, "/datasets/ds_nobody_a1b2c3/samples", 404)
    assert client.get("/api/nowhere").json()["error"]["code"] == "not_found"
    fragment = client.get("/datasets/ds_nobody_a1b2c3/card", headers=FRAGMENT)
    assert (fragment.status_code, fragment.headers["HX-Retarget"]) == (404, "#notices")
    assert "<html" not in fragment.text


def test_a_form_that_is_wrong_is_shown_again_with_what_was_filled_in(client: TestClient) -> None:
    wrong = client.post(
        "/datasets", content="repo_id=no+such+thing&revision=v1&access_token=hf_neverShown", headers=FORM
    )
    assert wrong.status_code == 400
    assert 'value="no such thing"' in wrong.text
    assert 'role="alert"' in wrong.text
    assert "hf_neverShown" not in wrong.text
    large = client.post("/datasets/check", content=f"repo_id={'x' * 300_000}", headers=FORM)
    assert large.status_code == 413
    other = client.post("/datasets/check", content="{}", headers={"content-type": "application/json"})
    assert other.status_code == 415


def test_a_path_that_is_not_given_away_cannot_be_added(workshop: Workshop, settings: ApiSettings) -> None:
    with make_client(replace(settings, local_paths=False), workshop) as client:
        assert "path-form" not in get(client, "/datasets")
        assert client.post("/datasets/local", content="path=/etc/passwd", headers=FORM).status_code == 403


def test_before_deleting_names_bytes_and_users_are_shown(client: TestClient, ready_dataset: str) -> None:
    dialog = get(client, f"/deletions?dataset_id={ready_dataset}", **FRAGMENT)
    assert "Foxes &amp; dragons" in dialog
    assert "will be freed" in dialog
    assert f'name="confirm" value="{ready_dataset}"' in dialog
    refused = client.post("/deletions", content=f"dataset_id={ready_dataset}", headers=FORM)
    assert refused.status_code == 409


def test_a_tokenization_is_shown_row_by_row_with_its_documents(
    client: TestClient, workshop: Workshop, ready_dataset: str
) -> None:
    from mistudio_pipelines.defs.partitions import pair_key

    assert "Not tokenized yet." in get(client, f"/datasets/{ready_dataset}/tokenizations")
    workshop.save_preset()
    assert workshop.run("tokenize", str(pair_key(ready_dataset, "small"))).success
    context_of(client).snapshots.expire()
    base = f"/datasets/{ready_dataset}"
    assert "Look at rows" in get(client, f"{base}/tokenizations")
    row = get(client, f"{base}/tokenizations/small?split=train&row=0")
    assert 'class="token special"' in row
    assert f'href="{base}/samples/0"' in row
    assert "There is no row 99,999" in get(client, f"{base}/tokenizations/small?split=train&row=99999", 404)
    tokens = get(client, f"{base}/samples/0/tokens?preset=small", **FRAGMENT)
    assert "once" in re.sub(r"<[^>]+>", "", tokens).replace("·", " ")
    compared = get(client, f"{base}/estimate?tokenizers={SAMPLE_TOKENIZER}&context_size=16", **FRAGMENT)
    assert Path(SAMPLE_TOKENIZER).name in compared


def test_the_theme_that_was_chosen_comes_with_the_page(client: TestClient) -> None:
    assert '<html lang="en">' in get(client, "/datasets")
    client.cookies.set("theme", "light")
    assert '<html lang="en" data-theme="light">' in get(client, "/datasets")
    client.cookies.set("theme", '"><script>')
    assert '<html lang="en">' in get(client, "/datasets")


def test_files_of_the_panel_are_kept_by_browsers_until_they_change(client: TestClient) -> None:
    elements = Elements(get(client, "/datasets"))
    for address in (one for one in elements.addresses() if one.startswith("/static/")):
        answer = client.get(address)
        assert "immutable" in answer.headers["cache-control"]
        assert client.get(address, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    assert client.get("/static/panel.css").headers["cache-control"] == "no-cache"
    for name in ("../panel.css", "..%2Fpages.py", "pages.py"):
        assert client.get(f"/static/{name}").status_code == 404

"""Tokens are found by name and never come out again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.hub.client import HubClient
from mistudio_pipelines.hub.secrets import find_token, scrub

TOKEN = "hf_" + "aBc123XyZ" * 4


def write_secret(store, name, content):
    store.secrets_root.mkdir(parents=True, exist_ok=True)
    (store.secrets_root / name).write_text(content)


def test_a_name_is_an_environment_variable_before_it_is_a_file(store, monkeypatch):
    write_secret(store, "TEAM_TOKEN", "from-file\n")
    assert find_token(store, "TEAM_TOKEN") == "from-file"
    monkeypatch.setenv("TEAM_TOKEN", " from-environment ")
    assert find_token(store, "TEAM_TOKEN") == "from-environment"


def test_an_empty_environment_variable_does_not_hide_the_file(store, monkeypatch):
    write_secret(store, "TEAM_TOKEN", "from-file")
    monkeypatch.setenv("TEAM_TOKEN", "")
    assert find_token(store, "TEAM_TOKEN") == "from-file"


def test_without_a_name_it_is_hf_token_and_then_the_login(store, monkeypatch):
    from huggingface_hub import constants

    assert find_token(store, None) is None
    login = store.root.parent / "login" / "token"
    login.parent.mkdir()
    login.write_text("from-login")
    assert str(login) == constants.HF_TOKEN_PATH
    assert find_token(store, None) == "from-login"
    monkeypatch.setenv("HF_TOKEN", "from-environment")
    assert find_token(store, None) == "from-environment"


@pytest.mark.parametrize("name", ["MISSING", "missing-one"])
def test_a_missing_secret_says_where_it_could_be(store, name):
    with pytest.raises(
        MistudioError, match=f"no secret named '{name}'.*environment variable {name}.*secrets folder"
    ) as e:
        find_token(store, name)
    assert e.value.code == ErrorCode.SECRET_NOT_FOUND


@pytest.mark.parametrize(
    "name", ["", "../token", "a/b", "/etc/passwd", "a\0b", ".hidden", "ä", "x" * 101, "-flag", "a\n"]
)
def test_a_name_cannot_lead_out_of_the_secrets_folder(store, name):
    with pytest.raises(MistudioError) as caught:
        find_token(store, name)
    assert caught.value.code == ErrorCode.SECRET_NOT_FOUND


@pytest.mark.parametrize("content", ["two\nlines", "with space", "naïve", "nul\0"])
def test_what_cannot_be_a_token_is_refused_without_showing_it(store, content):
    write_secret(store, "TEAM_TOKEN", content)
    with pytest.raises(MistudioError, match="not a token") as caught:
        find_token(store, "TEAM_TOKEN")
    assert content not in str(caught.value)


def test_an_unreadable_secret_says_so(store):
    (store.secrets_root / "TEAM_TOKEN").mkdir(parents=True)
    with pytest.raises(MistudioError, match="cannot be read"):
        find_token(store, "TEAM_TOKEN")


def test_a_token_given_as_a_name_by_mistake_is_not_repeated(store):
    with pytest.raises(MistudioError) as caught:
        find_token(store, TOKEN)
    assert TOKEN not in repr(caught.value)


@given(st.text(alphabet="!#azAZ09_-.", min_size=1), st.text(max_size=20), st.text(max_size=20))
def test_a_known_token_never_survives(token, before, after):
    assert token not in scrub(before + token + after, token).replace("[hidden]", "")


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {TOKEN}",
        f"token={TOKEN}!",
        "https://cdn.example/file?Expires=1&Signature=SECRET&Key-Pair-Id=SECRET",
        "https://s3.example/file?X-Amz-Credential=SECRET&X-Amz-Signature=SECRET'",
        "bearer SECRET",
    ],
)
def test_what_looks_secret_is_hidden_without_being_known(text):
    shown = scrub(text)
    assert TOKEN not in shown
    assert "SECRET" not in shown


def test_plain_text_stays_as_it_is():
    text = "The file 'data/train.parquet' of 'user/hf_name' cannot be read? See https://x.example/a?recursive=true"
    assert scrub(text, None, "") == text


def test_a_client_does_not_show_its_token(store, hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    client = HubClient(store, endpoint=hub.endpoint)
    assert client.authenticated
    assert TOKEN not in repr(client)

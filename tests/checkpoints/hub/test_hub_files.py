"""Files come from the hub whole, checked and only once, and whatever goes wrong on the way is one sentence."""

import random
from pathlib import Path

import pytest
from hub_server import Hub, serving, use
from huggingface_hub import constants
from huggingface_hub.utils import WeakFileLock

from cocasearch.checkpoints.hub.hub_files import HubFile, fetch, fetch_small
from cocasearch.errors import CocaSearchError

REPOSITORY = "laion/some-coca"
NAMES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
CONTENT = random.Random(0).randbytes(3_000_000)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub with one repository, and an empty cache."""
    with serving() as hub:
        hub.repositories[REPOSITORY] = {NAMES[1]: CONTENT, "open_clip_config.json": b"{}"}
        use(hub, tmp_path / "cache", monkeypatch)
        yield hub


def get(told: list[tuple[str, int, int]] | None = None) -> HubFile:
    return fetch(REPOSITORY, NAMES, lambda *state: told.append(state) if told is not None else None)


def in_cache(tmp_path: Path) -> list[str]:
    return sorted(file.name for file in (tmp_path / "cache").rglob("blobs/*"))


def test_the_first_file_that_is_there_comes_whole_and_is_told_of(hub: Hub) -> None:
    told: list[tuple[str, int, int]] = []
    file = get(told)
    assert file.path.read_bytes() == CONTENT
    assert file.path.name == NAMES[1]
    assert {state[0] for state in told} == {"downloading", "checking"}
    assert ("downloading", len(CONTENT), len(CONTENT)) in told
    hub.repositories[REPOSITORY][NAMES[0]] = b"better"
    assert get().path.read_bytes() == b"better"


def test_a_file_is_downloaded_once_and_found_without_a_hub(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    first = get()
    assert get() == first
    hub.status = 503
    assert get() == first
    hub.status = 0
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert get() == first
    assert hub.downloads == [None]


def test_a_broken_connection_is_taken_up_where_it_broke(hub: Hub) -> None:
    hub.cut_after = [1_000_000, 500_000]
    assert get().path.read_bytes() == CONTENT
    assert hub.downloads == [None, "bytes=1000000-", "bytes=1500000-"]


def test_a_download_that_broke_off_goes_on_with_the_next_command(hub: Hub, tmp_path: Path) -> None:
    hub.cut_after = [1_200_000] + [0] * 5
    with pytest.raises(CocaSearchError, match=r"broke off at 1\.2 MB of 3\.0 MB") as caught:
        get()
    assert caught.value.hint == "the same command goes on from there"
    assert not list((tmp_path / "cache").rglob("snapshots/*"))
    before = len(hub.downloads)
    assert get().path.read_bytes() == CONTENT
    assert hub.downloads[before:] == ["bytes=1200000-"]
    assert not [name for name in in_cache(tmp_path) if name.endswith(".incomplete")]


def test_a_longer_leftover_is_begun_anew(hub: Hub, tmp_path: Path) -> None:
    hub.cut_after = [1_000] + [0] * 5
    with pytest.raises(CocaSearchError):
        get()
    (partial,) = (tmp_path / "cache").rglob("*.incomplete")
    partial.write_bytes(b"x" * (len(CONTENT) + 1))
    assert get().path.read_bytes() == CONTENT


def test_a_wrong_checksum_is_refused_and_leaves_nothing(hub: Hub, tmp_path: Path) -> None:
    hub.wrong_sums.add(NAMES[1])
    with pytest.raises(CocaSearchError, match=f"{NAMES[1]} did not have the checksum"):
        get()
    assert in_cache(tmp_path) == []
    hub.wrong_sums.clear()
    assert get().path.read_bytes() == CONTENT


def test_a_cached_file_that_has_changed_is_removed(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = get().path
    path.resolve().write_bytes(CONTENT[:-1] + b"!")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CocaSearchError, match="did not have the checksum"):
        get()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert get().path.read_bytes() == CONTENT


def test_a_hub_that_fails_is_asked_once_and_the_cache_is_taken_instead(hub: Hub) -> None:
    hub.status = 503
    with pytest.raises(CocaSearchError, match="503"):
        fetch_small(REPOSITORY, "open_clip_config.json")
    assert len(hub.asked) == 1  # a hub that does not answer at all would keep us waiting with each try
    hub.status = 0
    fetched = fetch_small(REPOSITORY, "open_clip_config.json")
    hub.status = 503
    assert fetch_small(REPOSITORY, "open_clip_config.json") == fetched


@pytest.mark.parametrize(
    ("status", "sentence"),
    [(401, r"only to those who may have it \(401\)"), (403, "403"), (503, r"at the moment \(503")],
)
def test_a_hub_that_refuses_is_named(hub: Hub, status: int, sentence: str) -> None:
    hub.status = status
    with pytest.raises(CocaSearchError, match=sentence) as caught:
        get()
    assert hub.endpoint in str(caught.value)
    with pytest.raises(CocaSearchError, match=sentence):
        fetch_small(REPOSITORY, "open_clip_config.json")


def test_what_is_not_there_is_named(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    del hub.repositories[REPOSITORY][NAMES[1]]
    with pytest.raises(CocaSearchError, match=f"{REPOSITORY} has no {NAMES[0]} and no {NAMES[1]}"):
        get()
    assert fetch_small(REPOSITORY, "nothing.json") is None
    del hub.repositories[REPOSITORY]
    with pytest.raises(CocaSearchError, match=f"there is no {REPOSITORY} at {hub.endpoint}"):
        get()
    with pytest.raises(CocaSearchError, match=f"there is no {REPOSITORY}"):
        fetch_small(REPOSITORY, "nothing.json")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CocaSearchError, match="not in the hub's cache, and HF_HUB_OFFLINE forbids"):
        get()


def test_no_hub_at_all_is_told_at_once(monkeypatch: pytest.MonkeyPatch, hub: Hub) -> None:
    template = "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    with pytest.raises(CocaSearchError, match=r"cannot be reached: .*refused"):
        get()


def test_a_small_file_comes_too(hub: Hub) -> None:
    path = fetch_small(REPOSITORY, "open_clip_config.json")
    assert path is not None
    assert path.read_bytes() == b"{}"


@pytest.mark.parametrize("name", ["X-Linked-Etag", "X-Repo-Commit"])
@pytest.mark.parametrize("value", ["../../../../stolen", "/tmp/stolen", "..", "", "A" * 64, "0" * 63, "0" * 64 + "/x"])
def test_names_that_no_hub_gives_become_no_files(hub: Hub, tmp_path: Path, name: str, value: str) -> None:
    hub.other_headers = {name: value}
    for ask in (get, lambda: fetch_small(REPOSITORY, "open_clip_config.json")):
        with pytest.raises(CocaSearchError, match="answers, but not as the Hugging Face hub does"):
            ask()
    assert list(tmp_path.rglob("*")) == []


def test_a_small_file_that_is_none_is_not_fetched(hub: Hub) -> None:
    with pytest.raises(CocaSearchError, match=r"open_clip_config.json of laion/some-coca has more than 0 MB"):
        fetch_small(REPOSITORY, "open_clip_config.json", most_bytes=1)
    assert all(method == "HEAD" for method, _, _ in hub.asked)


def test_a_cache_that_cannot_be_written_is_not_taken_for_a_hub_out_of_reach(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "models--laion--some-coca").write_text("a file where a folder should be")
    with pytest.raises(CocaSearchError, match=r"models--laion--some-coca/blobs cannot be written: "):
        fetch_small(REPOSITORY, "open_clip_config.json")


def test_a_download_without_room_for_the_model_is_not_begun(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(CocaSearchError, match=r"free, and .* GB are needed"):
        fetch(REPOSITORY, NAMES, lambda *_: None, room_for={tmp_path: 10**18})
    assert hub.downloads == []


def test_the_token_goes_to_the_hub_and_to_nobody_else(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    get()
    tokens = {path.split("/")[1]: token for path, token in hub.tokens.items() if NAMES[1] in path}
    assert tokens == {"laion": "Bearer hf_secret", "content": None}


def test_a_file_that_another_process_fetches_is_left_to_it(hub: Hub, tmp_path: Path) -> None:
    get()
    (lock,) = (tmp_path / "cache" / ".locks").rglob("*.lock")
    for blob in (tmp_path / "cache").rglob("blobs/*"):
        blob.unlink()
    with WeakFileLock(lock), pytest.raises(CocaSearchError, match="is being downloaded already"):
        get()
    assert get().path.read_bytes() == CONTENT

import pytest
from PIL import Image


@pytest.mark.parametrize(("command", "photos"), [("index", "photos to index"), ("caption", "photos")])
def test_larger_photos_are_refused_by_name(prompt, command, photos):
    result = prompt(command, "photos", "--model", "tiny", "--max-megapixels", "0.006")
    assert result.exit_code == 3
    assert "unreadable: photos/blue-circle.png: 96 x 64 pixels are more than 0.006 megapixels" in result.stderr
    assert f"none of the {photos} could be read" in result.stderr


def test_the_limit_lets_pass_what_is_as_large(prompt):
    result = prompt("index", "photos", "--model", "tiny", "--max-megapixels", "0.006144")
    assert "4 added, 1 unreadable" in result.stderr


@pytest.mark.parametrize("limit", ["0", "-1", "5000"])
def test_a_limit_that_pil_could_not_keep_is_refused(prompt, limit):
    assert prompt("index", "photos", "--max-megapixels", limit).exit_code == 2


def test_photos_that_were_too_large_are_tried_again_where_the_limit_allows_them(prompt):
    Image.new("RGB", (40, 40)).save(prompt.folder / "photos" / "small.png")

    def index(*limit):
        return prompt("index", "photos", "--model", "tiny", *limit).stderr

    assert "1 added, 5 unreadable" in index("--max-megapixels", "0.006")
    assert "1 unchanged, 5 unreadable as before" in index("--max-megapixels", "0.0061")
    assert "4 added, 1 unchanged, 1 unreadable in" in index()  # one turns out to be torn
    assert "5 unchanged, 1 unreadable as before" in index("--max-megapixels", "0.006")

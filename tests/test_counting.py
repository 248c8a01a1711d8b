from cocasearch.counting import pluralize


def test_one_is_one_and_several_are_several():
    assert [pluralize(count, "photo") for count in (0, 1, 2, 12_345)] == [
        "0 photos",
        "1 photo",
        "2 photos",
        "12,345 photos",
    ]
    assert [pluralize(count, "photo is", "photos are") for count in (1, 2)] == ["1 photo is", "2 photos are"]

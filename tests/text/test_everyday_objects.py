"""Captions name everyday objects, whatever they call them."""

import pytest

from cocasearch.text.everyday_objects import content_of, objects_by_name, objects_in

COCO_CATEGORIES = {
    "person bicycle car motorcycle airplane bus train truck boat bench bird cat dog horse sheep cow elephant bear",
    "zebra giraffe backpack umbrella handbag tie suitcase frisbee skis snowboard ball kite skateboard surfboard",
    "bottle glass cup fork knife spoon bowl banana apple sandwich orange broccoli carrot pizza donut cake chair couch",
    "plant bed table toilet television laptop mouse remote keyboard microwave oven toaster sink refrigerator book",
    "clock vase scissors",
}
OF_TWO_WORDS = {
    "traffic light", "fire hydrant", "stop sign", "parking meter", "baseball bat", "baseball glove", "tennis racket",
    "hot dog", "cell phone", "teddy bear", "hair drier",
}  # fmt: skip


@pytest.mark.parametrize(
    ("caption", "objects"),
    [
        ("A hot dog beside two dogs.", ["hot dog", "dog"]),
        ("teddy bears and a bear", ["teddy bear", "bear"]),
        ("a red fire hydrant", ["fire hydrant"]),
        ("a toy car on a table", ["toy", "table"]),
        ("stop signs", ["stop sign"]),
        ("a woman on her cell phone", ["person", "cell phone"]),
        ("a boy swings a baseball bat", ["person", "baseball bat"]),
        ("a couple of dogs", ["dog"]),
        ("an elderly couple", ["person"]),
        ("a license plate beside a plate", ["plate"]),
        ("a dog sticks its tongue out at a stick", ["dog", "stick"]),
    ],
)
def test_longer_names_go_first(caption, objects):
    assert list(objects_in(caption)) == objects


@pytest.mark.parametrize(
    ("caption", "objects"),
    [
        ("men, women, children and babies", ["person"] * 4),
        ("knives, geese, ponies, boxes, buses", ["knife", "bird", "horse", "box", "bus"]),
        ("sofas and couches", ["couch", "couch"]),
        ("A T-shirt; the puppy's leash", ["shirt", "dog", "rope"]),
        ("a bike, a motorbike and a TV", ["bicycle", "motorcycle", "television"]),
        ("house, church, tower, bridge", ["house", "church", "tower", "bridge"]),
    ],
)
def test_synonyms_and_plurals_are_one_object(caption, objects):
    assert list(objects_in(caption)) == objects


@pytest.mark.parametrize("caption", ["", "a sunny day", "an orange and white stripe", "she watches and waits"])
def test_some_captions_name_none(caption):
    assert objects_in(caption) == ()


def test_cocos_categories_are_all_there():
    objects = set(objects_by_name().values())
    assert OF_TWO_WORDS | set(" ".join(COCO_CATEGORIES).split()) <= objects
    assert len(objects) > 200


def test_names_are_words_as_captions_are_cut_into():
    from cocasearch.text.words import words_of

    assert all(words_of(" ".join(name)) == name for name in objects_by_name())


def test_content_is_objects_and_other_words():
    assert content_of("Two puppies are next to a red hot dog stand") == {"two", "dog", "red", "hot dog", "stand"}

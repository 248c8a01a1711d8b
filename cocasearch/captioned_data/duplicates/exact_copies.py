"""Files of the same bytes under several names: one image, with all that is said about it."""

import dataclasses

from cocasearch.captioned_data.captioned_image import BadRow, CaptionedData
from cocasearch.captioned_data.duplicates.file_contents import same_content


def unite_copies(data: CaptionedData) -> CaptionedData:
    """The data with every image once, under its first name; `copies` tells the other names.

    A copy gives the first the captions that are new of it. As two images they would be each other's wrong answer, to
    a loss and to a measure, and fall on both sides of a split.
    """
    images, copies = list(data.images), list[tuple[int, BadRow]]()
    for first, *others in same_content([image.image for image in images]):
        kept = images[first]
        captions = list(kept.captions)
        for at in others:
            captions += [caption for caption in images[at].captions if caption not in captions]
            copies.append((at, BadRow(images[at].key, f"the same bytes as {kept.key}")))
        images[first] = dataclasses.replace(kept, captions=tuple(captions))
    copies.sort(key=lambda copy: copy[0])
    gone = {at for at, _ in copies}
    return dataclasses.replace(
        data,
        images=[image for at, image in enumerate(images) if at not in gone],
        copies=[copy for _, copy in copies],
    )

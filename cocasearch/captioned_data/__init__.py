"""Readers of captioned images in any of the usual layouts, and the search for duplicates among them.

A data file, a folder or shards become one `CaptionedImage` per image, in first-seen order, and a list of what had to be
skipped. Reading opens no image.

    CSV, TSV      a header; the separator is detected
    JSONL         one object per line; `.json` a list of such, or one
    Parquet       image paths, encoded bytes, or the `image` struct of both; a folder of shards is read as one
    .tar          WebDataset shards: `0001.jpg` with `0001.txt`; a folder of shards is read as one
    .json         captions of COCO (`captions_val2017.json`), Karpathy's splits (`dataset_flickr8k.json`), or
                  `{file: captions}`
    .txt, .token  Flickr's `name.jpg#0<TAB>caption`, or a table
    folder        images with side-cars (`a.txt`, `a.jpg.txt`, `a.caption`), one caption per line; else `a.json`

Images may also stand in cells, as base64 or lists of bytes, and several captions in one cell, as lists in any form.
Several files are one source as `first.tar::second.tar` or `shard-{000..012}.tar`; `s3://` names objects in a store.
"""

from cocasearch.captioned_data.captioned_image import BadRow, CaptionedData, CaptionedImage
from cocasearch.captioned_data.duplicates.exact_copies import unite_copies
from cocasearch.captioned_data.reading import read_captioned_data

__all__ = ["BadRow", "CaptionedData", "CaptionedImage", "read_captioned_data", "unite_copies"]

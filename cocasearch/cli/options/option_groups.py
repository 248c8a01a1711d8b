"""`typer.Option` for each group of options that the help of a command shows under a title."""

from functools import partial

import typer

input_option = partial(typer.Option, rich_help_panel="What to read")
search_option = partial(typer.Option, rich_help_panel="What to look for")
index_option = partial(typer.Option, rich_help_panel="Index")
model_option = partial(typer.Option, rich_help_panel="Model")
caption_option = partial(typer.Option, rich_help_panel="Captions")
training_option = partial(typer.Option, rich_help_panel="Training")
output_option = partial(typer.Option, rich_help_panel="Output")

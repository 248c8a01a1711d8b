"""The options that a user gave, and the refusal of those without effect."""

from collections.abc import Container, Mapping

import typer


def given_options(context: typer.Context) -> dict[str, str]:
    """The parameters given on the command line: their names, and how they are written there."""
    return {
        name: max(option.opts, key=len) if name != "paths" else "PATH"
        for option in context.command.params
        if (name := option.name or "") != "debug"
        and (source := context.get_parameter_source(name)) is not None
        and source.name == "COMMANDLINE"
    }


def refuse_without_effect(
    context: typer.Context, goes_with: Mapping[str, Container[str]], chosen: str, shown: str
) -> None:
    """Refuse options that have no effect with the user's choice.

    Args:
        context: The context of the command.
        goes_with: The choices with which each parameter has an effect.
        chosen: The user's choice.
        shown: The choice in words, such as "with --strategy beam".

    Raises:
        typer.BadParameter: One was given.
    """
    for name, option in given_options(context).items():
        if chosen not in goes_with.get(name, {chosen}):
            raise typer.BadParameter(f"{option} has no effect {shown}; leave it out")

"""The program's way in, as `cocasearch` and as `python -m cocasearch`."""


def main() -> None:
    """Run the command line, which Ctrl-C ends quietly from the first import on."""
    try:
        from cocasearch.cli.app import app

        app()
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()

"""stub"""


def finetune() -> None:
    """Stub"""

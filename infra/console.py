"""Output and confirmation prompts of the release commands."""


def say(message: str) -> None:
    print(f"→ {message}", flush=True)


def agreed(question: str, is_agreed: bool) -> bool:
    """Ask a yes-or-no question, unless `is_agreed`. No terminal counts as no."""
    return is_agreed or _answer(f"{question} [yes/no] ").lower() in ("y", "yes")


def named(name: str) -> bool:
    """Ask for the name of what is to be removed, as a confirmation."""
    return _answer(f"Type {name} to remove it: ") == name


def declined() -> int:
    """Say that nothing was changed. Returns: the exit code of a declined command."""
    say("not agreed: nothing was changed")
    return 1


def _answer(question: str) -> str:
    try:
        return input(question).strip()
    except EOFError:
        print()
        return ""

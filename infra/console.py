"""Output and confirmation prompts of the release commands."""


def say(message: str) -> None:
    print(f"→ {message}", flush=True)


def agreed(question: str, is_agreed: bool) -> bool:
    """Whether somebody says yes; `is_agreed` without asking. Silence (no terminal) is a no."""
    return is_agreed or _answer(f"{question} [yes/no] ").lower() in ("y", "yes")


def named(name: str) -> bool:
    """Whether somebody types the name of what is to go."""
    return _answer(f"Type {name} to remove it: ") == name


def declined() -> int:
    """The exit code of a command that was not agreed to."""
    say("not agreed: nothing was changed")
    return 1


def _answer(question: str) -> str:
    try:
        return input(question).strip()
    except EOFError:
        print()
        return ""

"""Words about judgements."""

from __future__ import annotations

from collections import Counter

from comparing.reasons import Judgement


def report(judgements: list[Judgement], details: bool, modules: str = "modules") -> str:
    """Returns what is to be said of modules, as the suite may call them; of several, first those
    with a surprise, then how many there are of each class.
    """
    if len(judgements) == 1:
        return "\n".join(_of_module(judgements[0], details))
    surprising = [each for each in judgements if each.unexpected or each.gone]
    lines = [line for each in surprising for line in _of_module(each, details)]
    return "\n".join(lines + _by_class(judgements, modules))


def _of_module(judgement: Judgement, details: bool) -> list[str]:
    kinds = Counter(reason.kind for _, reason in judgement.explained)
    words = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
    how = f"differs as expected: {words}" if kinds else "as on the host"
    lines = [] if judgement.unexpected and not kinds else [f"{judgement.module}: {how}"]
    if details:
        lines += [f"    {each}" for each, _ in judgement.explained]
    if judgement.unexpected:
        lines.append(f"{judgement.module}: {len(judgement.unexpected)} UNEXPECTED:")
        lines += [f"    {each}" for each in judgement.unexpected]
    if judgement.gone:
        lines.append(f"{judgement.module}: expected.toml has what differs no more:")
        lines += [f"    {each}" for each in judgement.gone]
    return lines


def _by_class(judgements: list[Judgement], modules: str) -> list[str]:
    """Counts modules by the classes of their differences, and tests."""
    classes: Counter[str] = Counter()
    tests: Counter[str] = Counter()
    for each in judgements:
        kinds = {reason.kind for _, reason in each.explained}
        kinds |= {"unexpected"} if each.unexpected else set()
        classes[" and ".join(sorted(kinds)) or "as on the host"] += 1
        tests.update(reason.kind for _, reason in each.explained)
        tests["unexpected"] += len(each.unexpected)
    lines = [f"{len(judgements)} {modules}:"]
    lines += [f"  {count:4} {kinds}" for kinds, count in classes.most_common()]
    lines.append("tests that differ:")
    lines += [f"  {count:4} {kind}" for kind, count in tests.most_common() if count]
    return lines
